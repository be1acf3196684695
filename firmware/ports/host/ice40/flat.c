#include "flat.h"

#include <string.h>

#include "run.h"

enum { CHEAPER = 6, SOURCE = 2 };

static bool fits(const struct design *design)
{
    const struct netlist *netlist = &design->netlist;
    if (netlist->n_sources != 1 || design->both_edges[0])
        return false;
    for (uint32_t i = 0; i < netlist->n_flops; i++) {
        const struct flop *flop = &netlist->flops[i];
        if (flop->clock != SOURCE || flop->negative || (flop->asynchronous && flop->reset != 0))
            return false;
    }
    for (node_id id = netlist->first_gate; id < netlist->n_nodes; id++)
        if (netlist->nodes[id].kind != NODE_GATE)
            return false;
    return true;
}

bool flat_pays(const struct run *run)
{
    return run->work * CHEAPER > run->steps * run->design->n_tasks && fits(run->design);
}

static uint64_t next_level(const uint16_t *v, const struct flop *flop)
{
    unsigned now = v[flop->node], reset = v[flop->reset], d = v[flop->d];
    d ^= (d ^ flop->set) & reset;
    return now ^ ((now ^ d) & v[flop->enable]);
}

/* What flip-flops become, into run->pending, from which they take it all at once. */
static void find_next(struct run *run)
{
    const struct netlist *netlist = &run->design->netlist;
    for (uint32_t word = 0, i = 0; i < netlist->n_flops; word++) {
        uint64_t bits = 0;
        uint32_t end = i + 64 < netlist->n_flops ? i + 64 : netlist->n_flops;
        for (; i < end; i++)
            bits |= next_level(run->values, &netlist->flops[i]) << i % 64;
        run->pending[word] = bits;
    }
}

static void take_next(struct run *run)
{
    const struct netlist *netlist = &run->design->netlist;
    uint16_t *flops = run->values + netlist->first_flop;
    for (uint32_t word = 0, i = 0; i < netlist->n_flops; word++) {
        uint64_t bits = run->pending[word], changes = bits ^ run->flops[word];
        uint32_t end = i + 64 < netlist->n_flops ? i + 64 : netlist->n_flops;
        run->flops[word] = bits;
        for (; i < end; i++) {
            flops[i] = bits >> i % 64 & 1;
            run->toggles[i] += changes >> i % 64 & 1;
        }
    }
}

static void evaluate_gates(struct run *run)
{
    const struct netlist *netlist = &run->design->netlist;
    uint16_t *v = run->values;
    for (node_id id = netlist->first_gate; id < netlist->n_nodes; id++) {
        const struct node *node = &netlist->nodes[id];
        v[id] = node->table >> (v[node->in[0]] | v[node->in[1]] << 1 | v[node->in[2]] << 2 | v[node->in[3]] << 3) & 1;
    }
}

static void step(struct run *run)
{
    run->now = run->phases[0].next;
    run->phases[0].next += 2 * run->design->half_periods[0];
    run->steps++;
    run->work += 1 + run->design->n_tasks / CHEAPER;
    find_next(run);
    take_next(run);
    evaluate_gates(run);
    run_watch_pins(run);
}

static bool is_kept(const struct run *run, const struct moment *kept)
{
    return memcmp(run->flops, kept->flops, run->design->flop_words * sizeof *run->flops) == 0;
}

/* The hash is needed where states are compared in full or kept, and nowhere else. */
static void look(struct run *run)
{
    struct period *period = &run->period;
    bool closely = period->looked == 0 || period->looked + 1 >= period->limit;
    if (!closely && !is_kept(run, &period->kept[0]) && !is_kept(run, &period->kept[1])) {
        period->looked++;
        return;
    }
    run_hash_flops(run);
    period_look(run);
}

void flat_on(struct run *run, uint64_t ticks)
{
    bool known = run->period.ticks > 0;
    while (run->phases[0].next < ticks && !run_is_spent(run) && (known || run->steps < run->skip_at)) {
        step(run);
        if (known)
            continue;
        look(run);
        if (run->period.ticks > 0)
            break; /* whole periods are passed over next */
    }
    run_resume(run);
}
