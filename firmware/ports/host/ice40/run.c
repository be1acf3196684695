#include "run.h"

#include <stdlib.h>
#include <string.h>

#include "arithmetic.h"
#include "flat.h"
#include "mix.h"
#include "skip.h"

enum {
    ROUNDS_MAX = 4096, /* at one instant; a circuit that needs more never comes to rest */
    FLAT_FIRST = 1 << 18, /* gates evaluated before it is asked whether all in order are cheaper */
};

static void mark_task(struct run *run, uint32_t task)
{
    uint32_t word = task / 64;
    run->dirty[word] |= (uint64_t)1 << task % 64;
    if (word < run->dirty_from)
        run->dirty_from = word;
    if (word >= run->dirty_to)
        run->dirty_to = word + 1;
}

static void mark(struct run *run, uint32_t index)
{
    const struct design *design = run->design;
    for (uint32_t i = design->first_target[index]; i < design->first_target[index + 1]; i++)
        mark_task(run, design->targets[i]);
}

void run_set(struct run *run, node_id node, uint16_t value)
{
    run->values[node] = value;
    mark(run, node);
    uint16_t clock = run->design->clock_of[node];
    if (clock != 0)
        run->triggers[run->n_triggers++] = (struct trigger){clock - 1u, value != 0};
}

/* ---- gates */

static uint16_t word_value(const struct run *run, const struct word *word)
{
    unsigned value = 0;
    for (unsigned i = 0; i < word->n; i++)
        value |= (unsigned)run->values[word->in[i]] << i;
    return (uint16_t)value;
}

/* The bit that an output shows: of a narrow memory, that of its group which the upper bits of the address choose. */
static uint16_t memory_value(const struct run *run, const struct node *node)
{
    const struct memory *memory = &run->design->netlist.memories[node->index];
    unsigned address = run->values[node->in[0]], bit = node->table;
    if (memory->read_mode > 0)
        bit = (bit & ~((1u << memory->read_mode) - 1)) + (address >> 8);
    return run->memory[node->index][address & (memory->depth - 1)] >> bit & 1;
}

static uint16_t arithmetic(const uint16_t *v, const struct node *node)
{
    const uint16_t in[4] = {v[node->in[0]], v[node->in[1]], v[node->in[2]], v[node->in[3]]};
    return arithmetic_value(node->table, in);
}

uint16_t run_value(const struct run *run, const struct node *node)
{
    const uint16_t *v = run->values;
    switch (node->kind) {
    case NODE_GATE:
        return node->table >> (v[node->in[0]] | v[node->in[1]] << 1 | v[node->in[2]] << 2 | v[node->in[3]] << 3) & 1;
    case NODE_WORD:
        return word_value(run, &run->design->netlist.words[node->index]);
    case NODE_MEMORY_BIT:
        return memory_value(run, node);
    case NODE_ARITHMETIC:
        return arithmetic(v, node);
    case NODE_WORD_BIT:
        return v[node->in[0]] >> node->table & 1;
    default:
        return node->table; /* NODE_NUMBER */
    }
}

static void evaluate_gate(struct run *run, uint32_t task)
{
    const struct netlist *netlist = &run->design->netlist;
    node_id id = netlist->first_gate + task;
    uint16_t value = run_value(run, &netlist->nodes[id]);
    if (value != run->values[id])
        run_set(run, id, value);
}

static void evaluate_flop(struct run *run, uint32_t index)
{
    const struct flop *flop = &run->design->netlist.flops[index];
    const uint16_t *v = run->values;
    uint64_t bit = (uint64_t)1 << index % 64;
    bool now = v[flop->node], next = now, reset = v[flop->reset];
    run->pending[index / 64] &= ~bit;
    run->forced[index / 64] &= ~bit;
    if (reset && flop->asynchronous) {
        if (now != flop->set) {
            run->forced[index / 64] |= bit;
            run->any_forced = true;
        }
        return;
    }
    if (v[flop->enable])
        next = reset ? flop->set : v[flop->d];
    if (next != now)
        run->pending[index / 64] |= bit;
}

static void settle(struct run *run)
{
    uint32_t n_gates = run->design->n_gates;
    for (uint32_t word = run->dirty_from; word < run->dirty_to; word++) {
        while (run->dirty[word] != 0) {
            uint32_t task = word * 64 + (uint32_t)__builtin_ctzll(run->dirty[word]);
            run->dirty[word] &= run->dirty[word] - 1;
            run->work++;
            if (task < n_gates)
                evaluate_gate(run, task);
            else
                evaluate_flop(run, task - n_gates);
        }
    }
    run->dirty_from = run->design->task_words;
    run->dirty_to = 0;
}

/* ---- flip-flops and memories */

static uint64_t flop_hash(uint32_t index)
{
    return mix64(index + 1);
}

static void toggle(struct run *run, uint32_t index)
{
    node_id node = run->design->netlist.first_flop + index;
    run->flops[index / 64] ^= (uint64_t)1 << index % 64;
    run->hash ^= flop_hash(index);
    run->toggles[index]++;
    run_set(run, node, run->values[node] ^ 1);
}

void run_flip(struct run *run, uint32_t flop)
{
    toggle(run, flop);
    mark_task(run, run->design->n_gates + flop); /* whether it changes at its clock depends on what it is */
}

static uint64_t word_hash(uint32_t memory, uint32_t address, uint16_t word)
{
    return mix64((uint64_t)(memory + 1) << 40 | (uint64_t)address << 16 | word);
}

/* The bits of a word that a write changes, and what to: narrow memories write one bit of each group, and get it from one input. */
static uint16_t written_word(const struct run *run, const struct memory *memory, uint16_t old, unsigned lane)
{
    static const uint8_t inputs[4] = {0, 0, 1, 3}; /* in its group, of the input that a narrow memory is written from */
    unsigned group = 1u << memory->write_mode;
    uint16_t word = old;
    for (unsigned first = 0; first < 16; first += group) {
        unsigned from = first + inputs[memory->write_mode], to = first + lane;
        if (memory->write_mode == 0 && run->values[memory->keep[first]])
            continue;
        word = (uint16_t)((word & ~(1u << to)) | (unsigned)run->values[memory->data[from]] << to);
    }
    return word;
}

static void write_memory(struct run *run, uint32_t index)
{
    const struct memory *memory = &run->design->netlist.memories[index];
    if (!run->values[memory->write_enable])
        return;
    unsigned address = run->values[memory->write_address];
    uint16_t *word = &run->memory[index][address & (memory->depth - 1)];
    uint16_t new = written_word(run, memory, *word, memory->write_mode > 0 ? address >> 8 : 0);
    if (new == *word)
        return;
    uint64_t change =
        word_hash(index, address & (memory->depth - 1), *word) ^ word_hash(index, address & (memory->depth - 1), new);
    run->memory_hash[index] ^= change;
    run->hash ^= change;
    run->memory_writes++;
    *word = new;
    mark(run, run->design->netlist.n_nodes + index);
}

/* What the clocks that changed make change, all at once: what is pending was settled before any of it. */
static void commit(struct run *run)
{
    const struct design *design = run->design;
    struct trigger *triggers = run->triggers;
    uint32_t n = run->n_triggers;
    run->triggers = run->spare_triggers;
    run->spare_triggers = triggers;
    run->n_triggers = 0;
    run->any_forced = false;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t memories = design->clocks[triggers[i].clock].memories[triggers[i].rising];
        for (; memories != 0; memories &= memories - 1)
            write_memory(run, (uint32_t)__builtin_ctzll(memories));
    }
    for (uint32_t word = 0; word < design->flop_words; word++) {
        uint64_t changes = 0;
        for (uint32_t i = 0; i < n; i++)
            changes |= design->clocks[triggers[i].clock].flops[triggers[i].rising][word];
        changes = (changes & run->pending[word]) | run->forced[word];
        run->pending[word] &= ~changes;
        run->forced[word] = 0;
        for (; changes != 0; changes &= changes - 1)
            toggle(run, word * 64 + (uint32_t)__builtin_ctzll(changes));
    }
}

static void come_to_rest(struct run *run)
{
    settle(run);
    for (int round = 0; run->n_triggers > 0 || run->any_forced; round++) {
        if (round == ROUNDS_MAX) {
            run->state = RUN_RESTLESS;
            run->n_triggers = 0;
            return;
        }
        commit(run);
        settle(run);
    }
}

/* ---- time */

uint64_t run_next(const struct run *run)
{
    uint64_t next = UINT64_MAX;
    for (uint32_t i = 0; i < run->design->netlist.n_sources; i++)
        next = run->phases[i].next < next ? run->phases[i].next : next;
    return next;
}

static void clock_edge(struct run *run, uint32_t source)
{
    const struct design *design = run->design;
    struct phase *phase = &run->phases[source];
    if (design->both_edges[source]) {
        phase->next += design->half_periods[source];
        phase->level = !phase->level;
        run_set(run, 2 + source, phase->level);
        return;
    }
    phase->next += 2 * design->half_periods[source];
    run->triggers[run->n_triggers++] = (struct trigger){design->clock_of[2 + source] - 1u, true};
}

void run_step(struct run *run)
{
    run->now = run_next(run);
    for (uint32_t i = 0; i < run->design->netlist.n_sources; i++)
        if (run->phases[i].next == run->now)
            clock_edge(run, i);
    run->steps++;
    run->work++;
    come_to_rest(run);
    run_watch_pins(run);
}

void run_settle_levels(struct run *run)
{
    settle(run);
    run->n_triggers = 0;
}

/* ---- long stretches of time */

void run_hash_flops(struct run *run)
{
    run->hash = 0;
    for (uint32_t word = 0; word < run->design->flop_words; word++)
        for (uint64_t set = run->flops[word]; set != 0; set &= set - 1)
            run->hash ^= flop_hash(word * 64 + (uint32_t)__builtin_ctzll(set));
}

void run_resume(struct run *run)
{
    run_hash_flops(run);
    for (uint32_t i = 0; i < run->design->netlist.n_flops; i++)
        mark_task(run, run->design->n_gates + i);
    run_settle_levels(run);
}

/* By what changed so far: pass over quiet stretches, or evaluate all gates at each edge, or only those that must be. */
static void choose_way(struct run *run)
{
    if (run->steps >= run->skip_at)
        skip_begin(run);
    if (run->skip == NULL && run->flat == NULL && flat_pays(run))
        run->flat = flat_open(run);
    run->flat_at = 2 * run->work;
}

static bool must_choose(const struct run *run)
{
    bool flat_may_pay = run->work >= run->flat_at && run->flat == NULL && run->skip == NULL;
    return run->period.ticks == 0 && (run->steps >= run->skip_at || flat_may_pay);
}

enum run_state run_until(struct run *run, uint64_t ticks)
{
    period_pass(run, ticks);
    while (run->state == RUN_GOOD && run_next(run) < ticks) {
        if (must_choose(run))
            choose_way(run);
        if (run->skip != NULL) {
            skip_on(run, ticks);
        } else if (run->flat != NULL) {
            flat_on(run, ticks);
        } else {
            run_step(run);
            period_look(run);
        }
        period_pass(run, ticks);
        if (run_is_spent(run) && run->state == RUN_GOOD)
            run->state = RUN_SPENT;
    }
    return run->state;
}

enum run_state run_each(struct run *run, uint64_t ticks, void (*each)(void *context, const struct run *run), void *context)
{
    while (run->state == RUN_GOOD && run_next(run) < ticks) {
        run_step(run);
        each(context, run);
        if (run->work > run->work_most && run->state == RUN_GOOD)
            run->state = RUN_SPENT;
    }
    return run->state;
}

/* ---- beginning and end */

static bool make_room(struct run *run)
{
    const struct design *design = run->design;
    const struct netlist *netlist = &design->netlist;
    run->values = calloc(netlist->n_nodes, sizeof *run->values);
    run->dirty = calloc(design->task_words, sizeof *run->dirty);
    run->flops = calloc((4 + PERIOD_KEPT) * (size_t)design->flop_words, sizeof *run->flops);
    run->toggles = calloc(netlist->n_flops + 1, sizeof *run->toggles);
    run->triggers = calloc(design->n_clocks + SOURCES_MAX + 1, sizeof *run->triggers);
    run->spare_triggers = calloc(design->n_clocks + SOURCES_MAX + 1, sizeof *run->triggers);
    bool good = run->values != NULL && run->dirty != NULL && run->flops != NULL && run->toggles != NULL &&
                run->triggers != NULL && run->spare_triggers != NULL;
    for (uint32_t i = 0; i < netlist->n_memories && good; i++) {
        const struct memory *memory = &netlist->memories[i];
        run->memory[i] = malloc(memory->depth * sizeof *run->memory[i]);
        good = run->memory[i] != NULL;
        if (good)
            memcpy(run->memory[i], memory->initial, memory->depth * sizeof *run->memory[i]);
    }
    return good;
}

struct run *run_open(const struct design *design, uint64_t work_most)
{
    struct run *run = calloc(1, sizeof *run);
    if (run == NULL)
        return NULL;
    run->design = design;
    run->work_most = work_most;
    run->skip_at = SKIP_FIRST;
    run->flat_at = FLAT_FIRST;
    if (!make_room(run)) {
        run_close(run);
        return NULL;
    }
    run->pending = run->flops + design->flop_words;
    run->forced = run->pending + design->flop_words;
    run->never_slow = run->forced + design->flop_words;
    for (unsigned i = 0; i < PERIOD_KEPT; i++)
        run->period.kept[i].flops = run->never_slow + (i + 1) * (size_t)design->flop_words;
    run->values[1] = 1;
    for (uint32_t i = 0; i < design->netlist.n_sources; i++)
        run->phases[i].next = design->half_periods[i];
    for (uint32_t task = 0; task < design->n_tasks; task++)
        run->dirty[task / 64] |= (uint64_t)1 << task % 64;
    run->dirty_to = design->task_words;
    run_settle_levels(run);
    come_to_rest(run);
    for (uint32_t i = 0; i < design->netlist.n_pins; i++)
        run->levels[i] = run->values[design->netlist.pins[i]];
    return run;
}

void run_close(struct run *run)
{
    if (run == NULL)
        return;
    skip_close(run->skip);
    flat_close(run->flat);
    for (uint32_t i = 0; i < MEMORIES_MAX; i++)
        free(run->memory[i]);
    free(run->values);
    free(run->dirty);
    free(run->flops);
    free(run->toggles);
    free(run->triggers);
    free(run->spare_triggers);
    free(run);
}
