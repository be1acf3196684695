#include "period.h"

#include <string.h>

#include "run.h"

enum { KEEP_FIRST = 64 }; /* looks before another state than the first is kept */

static void keep(const struct run *run, struct moment *kept)
{
    kept->now = run->now;
    kept->hash = run->hash;
    memcpy(kept->flops, run->flops, run->design->flop_words * sizeof *run->flops);
    memcpy(kept->phases, run->phases, sizeof run->phases);
    memcpy(kept->pulses, run->pulses, sizeof run->pulses);
}

static bool same_phases(const struct run *run, const struct moment *kept)
{
    for (uint32_t i = 0; i < run->design->netlist.n_sources; i++) {
        const struct phase *now = &run->phases[i], *then = &kept->phases[i];
        if (now->level != then->level || now->next - run->now != then->next - kept->now)
            return false;
    }
    return true;
}

/* Memories are in the hash alone. */
static bool is_back(const struct run *run, const struct moment *kept)
{
    return run->hash == kept->hash && same_phases(run, kept) &&
           memcmp(run->flops, kept->flops, run->design->flop_words * sizeof *run->flops) == 0;
}

static void found(struct run *run, const struct moment *kept)
{
    run->period.ticks = run->now - kept->now;
    for (uint32_t i = 0; i < run->design->netlist.n_pins; i++)
        run->period.pulses[i] = run->pulses[i] - kept->pulses[i];
}

void period_look(struct run *run)
{
    struct period *period = &run->period;
    if (period->ticks > 0)
        return;
    if (period->looked++ == 0) {
        keep(run, &period->kept[0]);
        keep(run, &period->kept[1]);
        period->limit = KEEP_FIRST;
        return;
    }
    for (unsigned i = 0; i < PERIOD_KEPT; i++) {
        if (!is_back(run, &period->kept[i]))
            continue;
        found(run, &period->kept[i]);
        return;
    }
    if (period->looked < period->limit)
        return;
    keep(run, &period->kept[1]);
    period->limit = 2 * period->looked;
}

void period_restart(struct run *run)
{
    run->period.looked = 0;
}

void period_pass(struct run *run, uint64_t ticks)
{
    const struct period *period = &run->period;
    if (period->ticks == 0 || ticks <= run->now)
        return;
    uint64_t n = (ticks - run->now - 1) / period->ticks;
    run->now += n * period->ticks;
    for (uint32_t i = 0; i < run->design->netlist.n_sources; i++)
        run->phases[i].next += n * period->ticks;
    for (uint32_t i = 0; i < run->design->netlist.n_pins; i++)
        run->pulses[i] += n * period->pulses[i];
}
