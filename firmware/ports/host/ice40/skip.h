/* Passes over quiet stretches.
 *
 * Most circuits have a part that changes all the time (a prescaler, the low bits of a counter) and a part that seldom does. While
 * the slow part rests, the fast part sees it as constants, so its course depends on its own state and on what is left of the gates
 * with these constants put in. That is often the same for many states of the slow part: a comparison that fails in its upper bits
 * is 0 whatever these are. So each stretch, from one change of the slow part to the next, is simulated once and then known by a hash
 * of the fast state and of the gates that are left. */
#ifndef ICE40_SKIP_H
#define ICE40_SKIP_H

#include <stdint.h>

struct run;
struct skip;

enum { SKIP_FIRST = 1 << 11 }; /* steps before it pays to look for quiet stretches */

/* Take what seldom changed so far as the slow part, and say in run->skip_at when to do so again. Leaves run->skip as it is where that
 * promises nothing. */
void skip_begin(struct run *run);

/* Go on by one stretch, not beyond `ticks`. */
void skip_on(struct run *run, uint64_t ticks);

void skip_close(struct skip *skip);

#endif
