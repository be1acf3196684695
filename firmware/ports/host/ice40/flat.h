/* Steps of circuits in which much changes at each clock edge: all gates are evaluated in order, which costs a tenth of finding out
 * which must be. For circuits with one clock, whose rising edge alone counts, and without memories. */
#ifndef ICE40_FLAT_H
#define ICE40_FLAT_H

#include <stdbool.h>
#include <stdint.h>

struct run;
struct flat;

/* Whether a run can go on like that, and by what it did so far is faster then. */
bool flat_pays(const struct run *run);

/* The circuit in a form for that; NULL if there is no memory. */
struct flat *flat_open(const struct run *run);
void flat_close(struct flat *flat);

/* Go on until `ticks`, until the period is found or the work is spent, or until run->skip_at. */
void flat_on(struct run *run, uint64_t ticks);

#endif
