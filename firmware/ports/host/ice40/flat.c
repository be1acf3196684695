#include "flat.h"

#include <stdlib.h>
#include <string.h>

#include "run.h"

enum { CHEAPER = 10, SOURCE = 2 };

_Static_assert((int)NODES_MAX <= UINT16_MAX, "nodes are written in 16 bits here");

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
        if (netlist->nodes[id].kind == NODE_MEMORY_BIT)
            return false;
    return true;
}

bool flat_pays(const struct run *run)
{
    return run->work * CHEAPER > run->steps * run->design->n_tasks && fits(run->design);
}

struct flat_gate {
    uint16_t table, in[4];
};

/* A flip-flop that its enable or its reset can keep from taking its D. */
struct held {
    uint32_t flop;
    uint16_t enable, reset, set;
};

struct flat {
    struct flat_gate *gates;
    node_id *others; /* nodes that are no gates, in order, and one behind the last node */
    uint32_t n_others, n_held, flops_size;
    struct held *held;
    uint16_t *d;    /* by flip-flop: the node */
    uint16_t *next; /* by flip-flop: what it becomes */
    uint16_t *seen; /* the same, when changes were counted last */
    uint16_t *kept[PERIOD_KEPT]; /* the states that period.c keeps */
};

/* ---- all nodes, in order */

static void evaluate_gates(struct run *run)
{
    const struct netlist *netlist = &run->design->netlist;
    const struct flat *flat = run->flat;
    const struct flat_gate *gate = flat->gates;
    uint16_t *v = run->values;
    node_id id = netlist->first_gate;
    for (uint32_t i = 0; i < flat->n_others; i++, id++, gate++) {
        for (; id < flat->others[i]; id++, gate++)
            v[id] = gate->table >> (v[gate->in[0]] | v[gate->in[1]] << 1 | v[gate->in[2]] << 2 | v[gate->in[3]] << 3) & 1;
        if (id < netlist->n_nodes)
            v[id] = run_value(run, &netlist->nodes[id]);
    }
}

static void find_next(const struct run *run)
{
    const struct flat *flat = run->flat;
    const uint16_t *v = run->values, *now = v + run->design->netlist.first_flop;
    for (uint32_t i = 0; i < run->design->netlist.n_flops; i++)
        flat->next[i] = v[flat->d[i]];
    for (uint32_t i = 0; i < flat->n_held; i++) {
        const struct held *held = &flat->held[i];
        uint16_t *next = &flat->next[held->flop];
        unsigned d = *next ^ ((*next ^ held->set) & v[held->reset]);
        *next = (uint16_t)(now[held->flop] ^ ((now[held->flop] ^ d) & v[held->enable]));
    }
}

static void step(struct run *run)
{
    run->now = run->phases[0].next;
    run->phases[0].next += 2 * run->design->half_periods[0];
    run->steps++;
    run->work += 1 + run->design->n_tasks / CHEAPER;
    find_next(run);
    memcpy(run->values + run->design->netlist.first_flop, run->flat->next, run->flat->flops_size);
    evaluate_gates(run);
    run_watch_pins(run);
}

/* ---- what others want to know */

static void pack(struct run *run)
{
    const struct netlist *netlist = &run->design->netlist;
    const uint16_t *flops = run->values + netlist->first_flop;
    for (uint32_t word = 0, i = 0; i < netlist->n_flops; word++) {
        run->flops[word] = 0;
        for (uint32_t end = i + 64 < netlist->n_flops ? i + 64 : netlist->n_flops; i < end; i++)
            run->flops[word] |= (uint64_t)flops[i] << i % 64;
    }
}

/* Which flip-flops changed since the last time: now and then is enough to tell those that seldom do. */
static void count_changes(struct run *run)
{
    const uint16_t *flops = run->values + run->design->netlist.first_flop;
    for (uint32_t i = 0; i < run->design->netlist.n_flops; i++)
        run->toggles[i] += flops[i] != run->flat->seen[i];
    memcpy(run->flat->seen, flops, run->flat->flops_size);
}

static void unpack_kept(struct run *run)
{
    for (unsigned k = 0; k < PERIOD_KEPT; k++)
        for (uint32_t i = 0; i < run->design->netlist.n_flops; i++)
            run->flat->kept[k][i] = run->period.kept[k].flops[i / 64] >> i % 64 & 1;
}

static bool is_kept(const struct run *run, unsigned k)
{
    return memcmp(run->values + run->design->netlist.first_flop, run->flat->kept[k], run->flat->flops_size) == 0;
}

/* Bits and hash of the state are needed where states are compared in full or kept, and nowhere else. */
static void look(struct run *run)
{
    struct period *period = &run->period;
    bool closely = period->looked == 0 || period->looked + 1 >= period->limit;
    if (!closely && !is_kept(run, 0) && !is_kept(run, 1)) {
        period->looked++;
        return;
    }
    pack(run);
    run_hash_flops(run);
    period_look(run);
    unpack_kept(run);
}

void flat_on(struct run *run, uint64_t ticks)
{
    enum { COUNT_EACH = 8 };
    bool known = run->period.ticks > 0;
    memcpy(run->flat->seen, run->values + run->design->netlist.first_flop, run->flat->flops_size);
    unpack_kept(run);
    while (run->phases[0].next < ticks && !run_is_spent(run) && (known || run->steps < run->skip_at)) {
        step(run);
        if (run->skip_at != UINT64_MAX && run->steps % COUNT_EACH == 0)
            count_changes(run);
        if (known)
            continue;
        look(run);
        if (run->period.ticks > 0)
            break; /* whole periods are passed over next */
    }
    pack(run);
    run_resume(run);
}

/* ---- beginning and end */

static bool make_room(struct flat *flat, const struct netlist *netlist)
{
    uint32_t n_gates = netlist->n_nodes - netlist->first_gate;
    flat->flops_size = netlist->n_flops * (uint32_t)sizeof *flat->next;
    flat->gates = calloc(n_gates + 1, sizeof *flat->gates);
    flat->others = calloc(n_gates + 1, sizeof *flat->others);
    flat->held = calloc(netlist->n_flops + 1, sizeof *flat->held);
    flat->d = calloc((3 + PERIOD_KEPT) * (size_t)(netlist->n_flops + 1), sizeof *flat->d);
    if (flat->gates == NULL || flat->others == NULL || flat->held == NULL || flat->d == NULL)
        return false;
    flat->next = flat->d + netlist->n_flops + 1;
    flat->seen = flat->next + netlist->n_flops + 1;
    for (unsigned k = 0; k < PERIOD_KEPT; k++)
        flat->kept[k] = flat->seen + (k + 1) * (size_t)(netlist->n_flops + 1);
    return true;
}

static void take_nodes(struct flat *flat, const struct netlist *netlist)
{
    for (node_id id = netlist->first_gate; id < netlist->n_nodes; id++) {
        const struct node *node = &netlist->nodes[id];
        struct flat_gate *gate = &flat->gates[id - netlist->first_gate];
        gate->table = node->table;
        for (unsigned i = 0; i < 4; i++)
            gate->in[i] = (uint16_t)node->in[i];
        if (node->kind != NODE_GATE)
            flat->others[flat->n_others++] = id;
    }
    flat->others[flat->n_others++] = netlist->n_nodes;
}

static void take_flops(struct flat *flat, const struct netlist *netlist)
{
    for (uint32_t i = 0; i < netlist->n_flops; i++) {
        const struct flop *flop = &netlist->flops[i];
        flat->d[i] = (uint16_t)flop->d;
        if (flop->enable != 1 || flop->reset != 0)
            flat->held[flat->n_held++] = (struct held){i, (uint16_t)flop->enable, (uint16_t)flop->reset, flop->set};
    }
}

struct flat *flat_open(const struct run *run)
{
    struct flat *flat = calloc(1, sizeof *flat);
    if (flat == NULL || !make_room(flat, &run->design->netlist)) {
        flat_close(flat);
        return NULL;
    }
    take_nodes(flat, &run->design->netlist);
    take_flops(flat, &run->design->netlist);
    return flat;
}

void flat_close(struct flat *flat)
{
    if (flat == NULL)
        return;
    free(flat->gates);
    free(flat->others);
    free(flat->held);
    free(flat->d);
    free(flat);
}
