/* Makes a traced netlist one that can be simulated: constants put through, what is without effect left out, the rest sorted. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arithmetic.h"
#include "netlist.h"
#include "trace.h"

enum { PASSES_MAX = 64 };

static node_id same_as(const struct netlist *netlist, node_id id)
{
    while (netlist->nodes[id].kind == NODE_SAME)
        id = netlist->nodes[id].in[0];
    return id;
}

/* A ring of nodes that are each the same as the next: it is kept as a gate, and found as a loop if the pins depend on it. */
static void break_rings(struct netlist *netlist)
{
    for (node_id start = 2; start < netlist->n_nodes; start++) {
        node_id id = start;
        for (uint32_t hops = 0; netlist->nodes[id].kind == NODE_SAME; hops++) {
            if (hops > netlist->n_nodes) {
                netlist->nodes[id].kind = NODE_GATE;
                netlist->nodes[id].table = TABLE_SAME;
            } else {
                id = netlist->nodes[id].in[0];
            }
        }
    }
}

static bool become(struct netlist *netlist, node_id id, node_id as)
{
    if (same_as(netlist, as) == id)
        return false; /* a ring of buffers */
    netlist->nodes[id].kind = NODE_SAME;
    netlist->nodes[id].in[0] = as;
    return true;
}

/* The table with one input held at a value. */
static uint16_t hold(uint16_t table, unsigned input, bool value)
{
    static const uint16_t where_one[4] = {0xaaaa, 0xcccc, 0xf0f0, 0xff00};
    unsigned shift = 1u << input;
    uint16_t half = value ? (uint16_t)((table & where_one[input]) >> shift) : (uint16_t)(table & ~where_one[input]);
    return (uint16_t)(half | half << shift);
}

static bool reduce_gate(struct netlist *netlist, node_id id)
{
    static const uint16_t alone[4] = {0xaaaa, 0xcccc, 0xf0f0, 0xff00};
    struct node *gate = &netlist->nodes[id];
    bool changed = false;
    for (unsigned i = 0; i < 4; i++) {
        node_id in = same_as(netlist, gate->in[i]);
        if (in < 2)
            gate->table = hold(gate->table, i, in == 1);
        else if (!table_depends(gate->table, i))
            in = 0;
        changed |= in != gate->in[i];
        gate->in[i] = in;
    }
    if (gate->table == 0 || gate->table == 0xffff)
        return become(netlist, id, gate->table != 0);
    for (unsigned i = 0; i < 4; i++)
        if (gate->table == alone[i])
            return become(netlist, id, gate->in[i]) || changed;
    return changed;
}

static bool reduce_flop(struct netlist *netlist, struct flop *flop)
{
    struct flop before = *flop;
    flop->d = same_as(netlist, flop->d);
    flop->clock = same_as(netlist, flop->clock);
    flop->enable = same_as(netlist, flop->enable);
    flop->reset = same_as(netlist, flop->reset);
    if (flop->reset == 1 && !flop->asynchronous) {
        flop->d = flop->set;
        flop->reset = 0;
    }
    if (flop->reset == 1)
        return become(netlist, flop->node, flop->set);
    bool never_clocked = flop->clock < 2 || flop->enable == 0 || flop->d == 0 || flop->d == flop->node;
    if (never_clocked && (flop->reset == 0 || !flop->set || (flop->clock < 2 && !flop->asynchronous)))
        return become(netlist, flop->node, 0);
    return memcmp(&before, flop, sizeof before) != 0;
}

/* Whether all words that an output bit can show are the same there; then also which. */
static bool constant_bit(const struct memory *memory, unsigned bit, node_id *value)
{
    unsigned n = 1u << memory->read_mode, first = bit & ~(n - 1);
    uint16_t mask = (uint16_t)(((1u << n) - 1) << first), all = mask, any = 0;
    for (uint32_t i = 0; i < memory->depth; i++) {
        all &= memory->initial[i];
        any |= memory->initial[i] & mask;
    }
    *value = any != 0;
    return any == 0 || all == mask;
}

static bool reduce_memory_bit(struct netlist *netlist, node_id id)
{
    const struct node *node = &netlist->nodes[id];
    const struct memory *memory = &netlist->memories[node->index];
    node_id value;
    return !memory->written && constant_bit(memory, node->table, &value) && become(netlist, id, value);
}

/* What a node always is: a constant bit, or a constant number. */
static bool is_known(const struct netlist *netlist, node_id id, uint16_t *value)
{
    bool number = netlist->nodes[id].kind == NODE_NUMBER;
    *value = number ? netlist->nodes[id].table : id == 1;
    return number || id < 2;
}

static bool become_number(struct netlist *netlist, node_id id, uint16_t value)
{
    netlist->nodes[id].kind = NODE_NUMBER;
    netlist->nodes[id].table = value;
    return true;
}

static bool reduce_word(struct netlist *netlist, node_id id)
{
    struct word *word = &netlist->words[netlist->nodes[id].index];
    bool known = true;
    unsigned value = 0;
    for (unsigned i = 0; i < word->n; i++) {
        word->in[i] = same_as(netlist, word->in[i]);
        known = known && word->in[i] < 2;
        value |= (unsigned)(word->in[i] == 1) << i;
    }
    return known && become_number(netlist, id, (uint16_t)value);
}

static bool reduce_arithmetic(struct netlist *netlist, node_id id)
{
    struct node *node = &netlist->nodes[id];
    uint16_t values[4];
    bool known[4], all_known = true;
    for (unsigned i = 0; i < 4; i++) {
        node->in[i] = same_as(netlist, node->in[i]);
        known[i] = is_known(netlist, node->in[i], &values[i]);
        all_known = all_known && known[i];
    }
    unsigned how = node->table & ARITHMETIC_HOW;
    if (how == ARITHMETIC_SELECT && known[2])
        return become(netlist, id, node->in[values[2] ? 1 : 0]);
    if (how == ARITHMETIC_MULTIPLY && ((known[0] && values[0] == 0) || (known[1] && values[1] == 0)))
        return become_number(netlist, id, 0);
    if (!all_known)
        return false;
    uint16_t value = arithmetic_value(node->table, values);
    return arithmetic_is_bit(node->table) ? become(netlist, id, value) : become_number(netlist, id, value);
}

static bool reduce_word_bit(struct netlist *netlist, node_id id)
{
    struct node *node = &netlist->nodes[id];
    node->in[0] = same_as(netlist, node->in[0]);
    const struct node *number = &netlist->nodes[node->in[0]];
    if (number->kind == NODE_NUMBER)
        return become(netlist, id, number->table >> node->table & 1);
    return number->kind == NODE_WORD && become(netlist, id, netlist->words[number->index].in[node->table]);
}

static void reduce_write_port(struct netlist *netlist, struct memory *memory)
{
    memory->write_clock = same_as(netlist, memory->write_clock);
    memory->write_enable = same_as(netlist, memory->write_enable);
    for (unsigned i = 0; i < 16; i++) {
        memory->data[i] = same_as(netlist, memory->data[i]);
        memory->keep[i] = same_as(netlist, memory->keep[i]);
    }
    memory->written = memory->write_clock > 1 && memory->write_enable != 0;
}

static bool reduce_node(struct netlist *netlist, node_id id)
{
    switch (netlist->nodes[id].kind) {
    case NODE_GATE:
        return reduce_gate(netlist, id);
    case NODE_FLOP:
        return reduce_flop(netlist, &netlist->flops[netlist->nodes[id].index]);
    case NODE_MEMORY_BIT:
        return reduce_memory_bit(netlist, id);
    case NODE_WORD:
        return reduce_word(netlist, id);
    case NODE_ARITHMETIC:
        return reduce_arithmetic(netlist, id);
    case NODE_WORD_BIT:
        return reduce_word_bit(netlist, id);
    default:
        return false;
    }
}

/* Inputs mostly have higher numbers than what they go to, so the way down settles nearly all at once. */
static void put_constants_through(struct netlist *netlist)
{
    bool changed = true;
    for (int pass = 0; changed && pass < PASSES_MAX; pass++) {
        changed = false;
        for (uint32_t i = 0; i < netlist->n_memories; i++)
            reduce_write_port(netlist, &netlist->memories[i]);
        for (node_id id = netlist->n_nodes; id-- > 2;)
            changed |= reduce_node(netlist, id);
    }
}

static unsigned n_inputs(const struct netlist *netlist, const struct node *node)
{
    switch (node->kind) {
    case NODE_GATE:
    case NODE_ARITHMETIC:
        return 4;
    case NODE_WORD:
        return netlist->words[node->index].n;
    case NODE_MEMORY_BIT:
    case NODE_WORD_BIT:
        return 1;
    default:
        return 0;
    }
}

/* So that no input is left that is only the same as another node. */
static void settle_inputs(struct netlist *netlist)
{
    for (node_id id = 2; id < netlist->n_nodes; id++)
        for (unsigned i = 0; i < n_inputs(netlist, &netlist->nodes[id]) && netlist->nodes[id].kind != NODE_WORD; i++)
            netlist->nodes[id].in[i] = same_as(netlist, netlist->nodes[id].in[i]);
    for (uint32_t i = 0; i < netlist->n_flops; i++) {
        struct flop *flop = &netlist->flops[i];
        flop->d = same_as(netlist, flop->d);
        flop->clock = same_as(netlist, flop->clock);
        flop->enable = same_as(netlist, flop->enable);
        flop->reset = same_as(netlist, flop->reset);
    }
    for (uint32_t i = 0; i < netlist->n_memories; i++)
        reduce_write_port(netlist, &netlist->memories[i]);
    for (uint32_t i = 0; i < netlist->n_words; i++)
        for (unsigned k = 0; k < netlist->words[i].n; k++)
            netlist->words[i].in[k] = same_as(netlist, netlist->words[i].in[k]);
    for (uint32_t i = 0; i < netlist->n_pins; i++)
        netlist->pins[i] = same_as(netlist, netlist->pins[i]);
}

/* ---- what the pins depend on, in order */

enum { UNSEEN, OPEN, DONE };

struct place {
    node_id id;
    unsigned next_input;
};

struct walk {
    struct netlist *netlist;
    uint8_t *seen;
    struct place *stack;
    uint32_t depth;
    node_id *gates, *flops, *sources; /* in the order in which they were done */
    uint32_t n_gates, n_flops, n_sources;
    bool memory_seen[MEMORIES_MAX];
    char *text;
};

static node_id input(const struct netlist *netlist, const struct node *node, unsigned i)
{
    return node->kind == NODE_WORD ? netlist->words[node->index].in[i] : node->in[i];
}

static void tell_loop(const struct walk *walk, node_id id)
{
    uint32_t first = walk->depth;
    while (walk->stack[first - 1].id != id)
        first--;
    unsigned tile = walk->netlist->nodes[id].tile;
    uint32_t n = walk->depth - first + 1;
    snprintf(walk->text, NETLIST_TEXT, "a loop of %u gate%s without a flip-flop, through tile (%u, %u)", n, n == 1 ? "" : "s",
             tile % CHIP_WIDTH, tile / CHIP_WIDTH);
}

/* Open a node that was not seen; returns whether all is well. */
static bool enter(struct walk *walk, node_id id)
{
    struct netlist *netlist = walk->netlist;
    const struct node *node = &netlist->nodes[id];
    if (walk->seen[id] == DONE || id < 2)
        return true;
    if (walk->seen[id] == OPEN) {
        tell_loop(walk, id);
        return false;
    }
    walk->seen[id] = DONE;
    if (node->kind == NODE_UNMODELLED) {
        snprintf(walk->text, NETLIST_TEXT, "%s", netlist->unmodelled[node->index]);
        return false;
    }
    if (node->kind == NODE_SOURCE)
        walk->sources[walk->n_sources++] = id;
    else if (node->kind == NODE_FLOP)
        walk->flops[walk->n_flops++] = id;
    else {
        walk->seen[id] = OPEN;
        walk->stack[walk->depth++] = (struct place){id, 0};
    }
    return true;
}

static void leave(struct walk *walk)
{
    node_id id = walk->stack[--walk->depth].id;
    walk->seen[id] = DONE;
    walk->gates[walk->n_gates++] = id;
}

static bool walk_from(struct walk *walk, node_id root)
{
    if (!enter(walk, root))
        return false;
    while (walk->depth > 0) {
        struct place *place = &walk->stack[walk->depth - 1];
        const struct node *node = &walk->netlist->nodes[place->id];
        if (node->kind == NODE_MEMORY_BIT)
            walk->memory_seen[node->index] = true;
        if (place->next_input == n_inputs(walk->netlist, node))
            leave(walk);
        else if (!enter(walk, input(walk->netlist, node, place->next_input++)))
            return false;
    }
    return true;
}

static bool walk_flop(struct walk *walk, const struct flop *flop)
{
    return walk_from(walk, flop->d) && walk_from(walk, flop->clock) && walk_from(walk, flop->enable) &&
           walk_from(walk, flop->reset);
}

static bool walk_memory(struct walk *walk, const struct memory *memory)
{
    bool good =
        walk_from(walk, memory->write_address) && walk_from(walk, memory->write_clock) && walk_from(walk, memory->write_enable);
    for (unsigned i = 0; i < 16 && good; i++)
        good = walk_from(walk, memory->data[i]) && walk_from(walk, memory->keep[i]);
    return good;
}

/* Memories come and go as flip-flops are met, and the other way round. */
static bool walk_all(struct walk *walk)
{
    struct netlist *netlist = walk->netlist;
    bool memory_walked[MEMORIES_MAX] = {false}, good = true;
    for (uint32_t i = 0; i < netlist->n_pins && good; i++)
        good = walk_from(walk, netlist->pins[i]);
    for (uint32_t next_flop = 0, again = 1; again && good;) {
        again = 0;
        for (; next_flop < walk->n_flops && good; next_flop++)
            good = walk_flop(walk, &netlist->flops[netlist->nodes[walk->flops[next_flop]].index]);
        for (uint32_t i = 0; i < netlist->n_memories && good; i++) {
            if (!walk->memory_seen[i] || memory_walked[i] || !netlist->memories[i].written)
                continue;
            memory_walked[i] = true;
            again = 1;
            good = walk_memory(walk, &netlist->memories[i]);
        }
    }
    return good;
}

/* ---- new numbers */

static void put_nodes(const struct walk *walk, struct node *sorted, node_id *number)
{
    const struct netlist *netlist = walk->netlist;
    node_id n = 2;
    memcpy(sorted, netlist->nodes, 2 * sizeof *sorted);
    number[1] = 1;
    const node_id *const groups[] = {walk->sources, walk->flops, walk->gates};
    const uint32_t sizes[] = {walk->n_sources, walk->n_flops, walk->n_gates};
    for (unsigned group = 0; group < 3; group++)
        for (uint32_t i = 0; i < sizes[group]; i++, n++) {
            sorted[n] = netlist->nodes[groups[group][i]];
            number[groups[group][i]] = n;
        }
}

static void renumber_memory(struct memory *memory, const node_id *number)
{
    memory->read_address = number[memory->read_address];
    memory->write_address = number[memory->write_address];
    memory->write_clock = number[memory->write_clock];
    memory->write_enable = number[memory->write_enable];
    for (unsigned i = 0; i < 16; i++) {
        memory->data[i] = number[memory->data[i]];
        memory->keep[i] = number[memory->keep[i]];
    }
}

static void renumber_flops(struct netlist *netlist, struct node *sorted, uint32_t n_flops, const node_id *number,
                           struct flop *kept)
{
    for (uint32_t i = 0; i < n_flops; i++) {
        struct node *node = &sorted[netlist->first_flop + i];
        struct flop flop = netlist->flops[node->index];
        flop.node = netlist->first_flop + i;
        flop.d = number[flop.d];
        flop.clock = number[flop.clock];
        flop.enable = number[flop.enable];
        flop.reset = number[flop.reset];
        kept[i] = flop;
        node->index = (uint16_t)i;
    }
}

static void renumber_sources(struct netlist *netlist, struct node *sorted, uint32_t n_sources)
{
    struct source sources[SOURCES_MAX];
    for (uint32_t i = 0; i < n_sources; i++) {
        sources[i] = netlist->sources[sorted[2 + i].index];
        sorted[2 + i].index = (uint16_t)i;
    }
    memcpy(netlist->sources, sources, n_sources * sizeof *sources);
    netlist->n_sources = n_sources;
}

/* Memories and words keep their places: there are few. A memory that nothing reads is not written either. */
static bool renumber(struct walk *walk)
{
    struct netlist *netlist = walk->netlist;
    uint32_t n_nodes = 2 + walk->n_sources + walk->n_flops + walk->n_gates;
    struct node *sorted = calloc(n_nodes, sizeof *sorted);
    struct flop *flops = calloc(walk->n_flops + 1, sizeof *flops);
    struct word *words = calloc(netlist->n_words + 1, sizeof *words);
    node_id *number = calloc(netlist->n_nodes, sizeof *number);
    bool good = sorted != NULL && flops != NULL && words != NULL && number != NULL;
    if (good) {
        netlist->first_flop = 2 + walk->n_sources;
        netlist->first_gate = netlist->first_flop + walk->n_flops;
        put_nodes(walk, sorted, number);
        for (node_id id = netlist->first_gate; id < n_nodes; id++)
            for (unsigned i = 0; i < 4; i++)
                sorted[id].in[i] = number[sorted[id].in[i]];
        for (uint32_t i = 0; i < netlist->n_words; i++)
            for (unsigned k = 0; k < netlist->words[i].n; k++)
                netlist->words[i].in[k] = number[netlist->words[i].in[k]];
        for (uint32_t i = 0; i < netlist->n_memories; i++) {
            netlist->memories[i].written &= walk->memory_seen[i];
            renumber_memory(&netlist->memories[i], number);
        }
        renumber_flops(netlist, sorted, walk->n_flops, number, flops);
        renumber_sources(netlist, sorted, walk->n_sources);
        for (uint32_t i = 0; i < netlist->n_pins; i++)
            netlist->pins[i] = number[netlist->pins[i]];
        memcpy(words, netlist->words, netlist->n_words * sizeof *words);
        netlist->nodes = sorted;
        netlist->flops = flops;
        netlist->words = words;
        netlist->n_nodes = n_nodes;
        netlist->n_flops = walk->n_flops;
    } else {
        free(sorted);
        free(flops);
        free(words);
    }
    free(number);
    return good;
}

const char *netlist_reduce(struct netlist *netlist, char text[NETLIST_TEXT])
{
    break_rings(netlist);
    put_constants_through(netlist);
    settle_inputs(netlist);
    uint32_t n = netlist->n_nodes;
    struct walk walk = {.netlist = netlist, .text = text};
    walk.seen = calloc(n, 1);
    walk.stack = malloc(n * sizeof *walk.stack);
    walk.gates = malloc(3 * n * sizeof *walk.gates);
    const char *wrong = NULL;
    if (walk.seen == NULL || walk.stack == NULL || walk.gates == NULL) {
        wrong = "there is no memory left";
    } else {
        walk.flops = walk.gates + n;
        walk.sources = walk.flops + n;
        if (!walk_all(&walk))
            wrong = text;
        else if (!renumber(&walk))
            wrong = "there is no memory left";
    }
    free(walk.seen);
    free(walk.stack);
    free(walk.gates);
    return wrong;
}
