/* A run of a design, from the moment that the FPGA is configured: all flip-flops 0, all clocks low, the first rising edge of each
 * half a period later. Gates take no time; what changes at one instant settles before time goes on, and a pin counts at most one
 * rising edge for it. */
#ifndef ICE40_RUN_H
#define ICE40_RUN_H

#include "design.h"
#include "period.h"

struct flat;
struct skip;

enum run_state {
    RUN_GOOD,
    RUN_SPENT, /* the work that was allowed is done */
    RUN_RESTLESS /* flip-flops clock or reset each other without end */
};

struct run {
    const struct design *design;
    uint16_t *values; /* by node */
    uint64_t *dirty; /* tasks to do */
    uint32_t dirty_from, dirty_to;
    uint64_t *flops, *pending, *forced; /* by flip-flop: level; will change at its clock; changes without one */
    uint64_t *never_slow; /* by flip-flop: was fast once, see skip.c */
    bool any_forced;
    struct trigger {
        uint32_t clock;
        bool rising;
    } *triggers, *spare_triggers;
    uint32_t n_triggers;
    uint16_t *memory[MEMORIES_MAX];
    uint64_t memory_hash[MEMORIES_MAX];
    uint64_t hash; /* of flip-flops and memories */
    uint64_t now;
    struct phase phases[SOURCES_MAX];
    uint64_t pulses[PINS_MAX];
    bool levels[PINS_MAX];
    uint32_t *toggles; /* by flip-flop */
    uint64_t steps, skip_at; /* taken or passed over; when quiet stretches are looked for (again) */
    uint64_t work, work_most, flat_at; /* gates evaluated; how many may be; how many before flat.h is thought of (again) */
    uint32_t memory_writes;
    enum run_state state;

    struct period period;
    struct skip *skip;
    struct flat *flat; /* flat.h; once it has begun */
};

/* `work_most` limits gates evaluated. NULL if there is no memory. */
struct run *run_open(const struct design *design, uint64_t work_most);
void run_close(struct run *run);

/* Go on to a time in ticks: all that happens before it has happened then. */
enum run_state run_until(struct run *run, uint64_t ticks);

/* The same without looking for periods or passing over anything: each instant calls `each`. */
enum run_state run_each(struct run *run, uint64_t ticks, void (*each)(void *context, const struct run *run), void *context);

/* Whether the work that was allowed is done. With the period found, the rest of a window may take as much once more. */
static inline bool run_is_spent(const struct run *run)
{
    return run->work >> (run->period.ticks > 0) > run->work_most;
}

/* For skip.c. */
uint64_t run_next(const struct run *run); /* the next instant, or UINT64_MAX */
void run_step(struct run *run);
void run_set(struct run *run, node_id node, uint16_t value);
void run_flip(struct run *run, uint32_t flop);
void run_settle_levels(struct run *run); /* after run_set and run_flip: no clock has an edge */

/* For flat.c. */
uint16_t run_value(const struct run *run, const struct node *node); /* what it is by its inputs; no flip-flop */
static inline void run_watch_pins(struct run *run)
{
    const struct netlist *netlist = &run->design->netlist;
    for (uint32_t i = 0; i < netlist->n_pins; i++) {
        bool level = run->values[netlist->pins[i]];
        run->pulses[i] += level && !run->levels[i];
        run->levels[i] = level;
    }
}
void run_hash_flops(struct run *run); /* run->hash of a circuit without memories */
void run_resume(struct run *run); /* after steps that left no account of what is pending, nor a hash */

#endif
