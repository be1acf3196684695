#include "design.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "routes.h"

/* ---- fan-out */

typedef void visit_function(struct design *design, node_id from, uint32_t task);

static void each_flop_input(struct design *design, visit_function *visit)
{
    for (uint32_t i = 0; i < design->netlist.n_flops; i++) {
        const struct flop *flop = &design->netlist.flops[i];
        visit(design, flop->d, design->n_gates + i);
        visit(design, flop->enable, design->n_gates + i);
        visit(design, flop->reset, design->n_gates + i);
    }
}

static void each_gate_input(struct design *design, visit_function *visit)
{
    const struct netlist *netlist = &design->netlist;
    for (uint32_t task = 0; task < design->n_gates; task++) {
        const struct node *node = &netlist->nodes[netlist->first_gate + task];
        if (node->kind == NODE_GATE || node->kind == NODE_ARITHMETIC)
            for (unsigned i = 0; i < 4; i++)
                visit(design, node->in[i], task);
        else if (node->kind == NODE_WORD)
            for (unsigned i = 0; i < netlist->words[node->index].n; i++)
                visit(design, netlist->words[node->index].in[i], task);
        else if (node->kind == NODE_WORD_BIT)
            visit(design, node->in[0], task);
        else if (node->kind == NODE_MEMORY_BIT) {
            visit(design, node->in[0], task);
            visit(design, netlist->n_nodes + node->index, task); /* a write to the memory */
        }
    }
}

static void count_target(struct design *design, node_id from, uint32_t task)
{
    (void)task;
    design->first_target[from]++;
}

static void place_target(struct design *design, node_id from, uint32_t task)
{
    design->targets[--design->first_target[from]] = task;
}

static bool make_targets(struct design *design)
{
    uint32_t n = design->netlist.n_nodes + design->netlist.n_memories;
    design->first_target = calloc(n + 1, sizeof *design->first_target);
    if (design->first_target == NULL)
        return false;
    each_gate_input(design, count_target);
    each_flop_input(design, count_target);
    for (uint32_t i = 1; i <= n; i++)
        design->first_target[i] += design->first_target[i - 1];
    design->targets = calloc(design->first_target[n] + 1, sizeof *design->targets);
    if (design->targets == NULL)
        return false;
    each_gate_input(design, place_target);
    each_flop_input(design, place_target);
    return true;
}

/* ---- clocks */

static struct clock *clock_at(struct design *design, node_id node)
{
    uint16_t *known = &design->clock_of[node];
    if (*known == 0) {
        struct clock *clock = &design->clocks[design->n_clocks++];
        clock->node = node;
        *known = (uint16_t)design->n_clocks;
    }
    return &design->clocks[*known - 1];
}

static void find_clocks(struct design *design)
{
    const struct netlist *netlist = &design->netlist;
    for (uint32_t i = 0; i < netlist->n_flops; i++)
        if (netlist->flops[i].clock > 1)
            clock_at(design, netlist->flops[i].clock);
    for (uint32_t i = 0; i < netlist->n_memories; i++) {
        const struct memory *memory = &netlist->memories[i];
        if (memory->written)
            clock_at(design, memory->write_clock)->memories[!memory->negative_write] |= (uint64_t)1 << i;
    }
}

static bool make_clocks(struct design *design)
{
    const struct netlist *netlist = &design->netlist;
    uint32_t most = netlist->n_flops + netlist->n_memories + 1;
    design->clocks = calloc(most, sizeof *design->clocks);
    design->clock_of = calloc(netlist->n_nodes, sizeof *design->clock_of);
    if (design->clocks == NULL || design->clock_of == NULL)
        return false;
    find_clocks(design);
    uint32_t words = design->flop_words;
    design->clock_bits = calloc((size_t)2 * design->n_clocks * words + 1, sizeof *design->clock_bits);
    if (design->clock_bits == NULL)
        return false;
    for (uint32_t i = 0; i < design->n_clocks; i++)
        for (uint32_t rising = 0; rising < 2; rising++)
            design->clocks[i].flops[rising] = design->clock_bits + (size_t)(2 * i + rising) * words;
    for (uint32_t i = 0; i < netlist->n_flops; i++) {
        const struct flop *flop = &netlist->flops[i];
        if (flop->clock > 1)
            clock_at(design, flop->clock)->flops[!flop->negative][i / 64] |= (uint64_t)1 << i % 64;
    }
    return true;
}

/* ---- time */

static uint64_t greatest_divisor(uint64_t a, uint64_t b)
{
    while (b != 0) {
        uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* Ticks as coarse as all clocks allow: half a period of each is a whole number of them. */
static bool make_ticks(struct design *design)
{
    enum { TICKS_MAX_LOG = 54 };
    uint64_t ticks = 1;
    for (uint32_t i = 0; i < design->netlist.n_sources; i++) {
        const struct source *source = &design->netlist.sources[i];
        uint64_t own = 2 * source->numerator / greatest_divisor(2 * source->numerator, source->denominator);
        uint64_t factor = own / greatest_divisor(ticks, own);
        if (ticks > ((uint64_t)1 << TICKS_MAX_LOG) / factor)
            return false;
        ticks *= factor;
    }
    design->ticks_per_second = ticks;
    for (uint32_t i = 0; i < design->netlist.n_sources; i++) {
        const struct source *source = &design->netlist.sources[i];
        design->half_periods[i] = ticks /
                                  (2 * source->numerator / greatest_divisor(2 * source->numerator, source->denominator)) *
                                  (source->denominator / greatest_divisor(2 * source->numerator, source->denominator));
    }
    return true;
}

static bool any_bit(const uint64_t *bits, uint32_t words)
{
    for (uint32_t i = 0; i < words; i++)
        if (bits[i] != 0)
            return true;
    return false;
}

static bool is_observed(const struct netlist *netlist, node_id node)
{
    for (uint32_t i = 0; i < netlist->n_pins; i++)
        if (netlist->pins[i] == node)
            return true;
    for (uint32_t i = 0; i < netlist->n_memories; i++)
        for (unsigned k = 0; k < 16 && netlist->memories[i].written; k++)
            if (netlist->memories[i].data[k] == node || netlist->memories[i].keep[k] == node ||
                netlist->memories[i].write_enable == node)
                return true;
    return false;
}

/* A falling edge is passed over if it clocks nothing and nobody sees the clock's level. */
static void find_edges(struct design *design)
{
    const struct netlist *netlist = &design->netlist;
    for (uint32_t i = 0; i < netlist->n_sources; i++) {
        node_id node = 2 + i;
        const struct clock *clock = design->clock_of[node] > 0 ? &design->clocks[design->clock_of[node] - 1] : NULL;
        bool clocks = clock != NULL && (any_bit(clock->flops[0], design->flop_words) || clock->memories[0] != 0);
        bool read = design->first_target[node + 1] != design->first_target[node];
        design->both_edges[i] = clocks || read || is_observed(netlist, node);
    }
}

static void find_sole_gates(struct design *design)
{
    const struct netlist *netlist = &design->netlist;
    for (uint32_t i = 0; i < netlist->n_flops; i++) {
        node_id d = netlist->flops[i].d;
        design->sole_d[i] = d >= netlist->first_gate && netlist->nodes[d].kind == NODE_GATE &&
                            design->first_target[d + 1] - design->first_target[d] == 1 && design->clock_of[d] == 0 &&
                            !is_observed(netlist, d);
    }
}

static const char *compile(struct design *design)
{
    const struct netlist *netlist = &design->netlist;
    design->n_gates = netlist->n_nodes - netlist->first_gate;
    design->n_tasks = design->n_gates + netlist->n_flops;
    design->flop_words = netlist->n_flops / 64 + 1;
    design->task_words = design->n_tasks / 64 + 1;
    if (!make_targets(design) || !make_clocks(design))
        return "there is no memory left";
    if (!make_ticks(design))
        return "clocks that have no common measure";
    find_edges(design);
    find_sole_gates(design);
    return NULL;
}

/* ---- decoding */

struct decoder {
    const struct chip *chip;
    struct config config;
    struct trace_room room;
    struct routes *routes;
};

struct decoder *decoder_open(const struct chip *chip)
{
    struct decoder *decoder = calloc(1, sizeof *decoder);
    if (decoder != NULL)
        decoder->chip = chip;
    return decoder;
}

void decoder_close(struct decoder *decoder)
{
    free(decoder);
}

void decoder_note_routes(struct decoder *decoder, struct routes *routes)
{
    decoder->routes = routes;
}

/* What the netlist has still is the decoder's, but for the memories. */
static void give_back(struct netlist *netlist)
{
    netlist->nodes = NULL;
    netlist->flops = NULL;
    netlist->words = NULL;
}

static const char *decode(struct design *design, struct decoder *decoder, const uint8_t *bitstream, size_t n,
                          const uint8_t *pins, uint32_t n_pins, uint32_t clock_hz, char text[NETLIST_TEXT])
{
    struct netlist *netlist = &design->netlist;
    const char *wrong = config_read(&decoder->config, bitstream, n);
    if (decoder->routes != NULL)
        decoder->routes->n = 0;
    if (wrong != NULL)
        return wrong;
    wrong = netlist_trace(netlist, decoder->chip, &decoder->config, &decoder->room, decoder->routes, pins, n_pins, clock_hz);
    if (wrong == NULL)
        wrong = netlist_reduce(netlist, text);
    if (wrong == NULL)
        return compile(design);
    give_back(netlist);
    return wrong;
}

struct design *design_open(struct decoder *decoder, const uint8_t *bitstream, size_t n, const uint8_t *pins, uint32_t n_pins,
                           uint32_t clock_hz, char text[NETLIST_TEXT])
{
    struct design *design = calloc(1, sizeof *design);
    const char *wrong = "there is no memory left";
    if (n_pins > PINS_MAX)
        wrong = "too many pins";
    else if (design != NULL)
        wrong = decode(design, decoder, bitstream, n, pins, n_pins, clock_hz, text);
    if (wrong == NULL)
        return design;
    if (wrong != text)
        snprintf(text, NETLIST_TEXT, "%s", wrong);
    design_close(design);
    return NULL;
}

void design_close(struct design *design)
{
    if (design == NULL)
        return;
    netlist_free(&design->netlist);
    free(design->first_target);
    free(design->targets);
    free(design->clocks);
    free(design->clock_of);
    free(design->clock_bits);
    free(design);
}
