/* Finds out when a run comes back to a state that it had, and passes over whole periods from then on. */
#ifndef ICE40_PERIOD_H
#define ICE40_PERIOD_H

#include "netlist.h"

struct run;

enum { PERIOD_KEPT = 2 };

/* Where a clock is: its next edge, and its level. */
struct phase {
    uint64_t next;
    bool level;
};

struct moment {
    uint64_t now;
    uint64_t hash;
    uint64_t *flops;
    struct phase phases[SOURCES_MAX];
    uint64_t pulses[PINS_MAX];
};

/* Brent's algorithm, with the first state beside the one that is kept: most circuits come back to how they began. */
struct period {
    uint64_t ticks; /* 0 until it is known */
    uint64_t pulses[PINS_MAX];
    uint64_t looked, limit;
    struct moment kept[PERIOD_KEPT];
};

/* Compare the run's state with those that are kept, and keep it now and then. Nothing once the period is known. */
void period_look(struct run *run);

/* Begin again: what was kept belongs to other kinds of moments. */
void period_restart(struct run *run);

/* Whole periods before a time change nothing but the time and the counts. */
void period_pass(struct run *run, uint64_t ticks);

#endif
