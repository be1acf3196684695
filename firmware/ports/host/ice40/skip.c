#include "skip.h"

#include <stdlib.h>
#include <string.h>

#include "arithmetic.h"
#include "mix.h"
#include "run.h"
#include "trace.h"

enum {
    SKIP_AGAIN = 1 << 15,   /* the second time, if the first found none or did not pay */
    SKIP_LONGER = 1 << 17,  /* the second time, if it did: now longer stretches pay */
    SELDOM_FIRST = 128,     /* slow: changes at most once in so many steps */
    SELDOM_LAST = 4096,
    STRETCH_LEAST = 64,     /* steps; shorter ones are not worth their hash */
    TABLE_LOG = 12,
    ENTRIES_MAX = 1 << TABLE_LOG,
    TRIAL = 256,            /* stretches after which it must have paid */
    TRIAL_BUSY = 1 << 18,   /* work within which one must have come again, where the other way is flat.h */
};

struct stretch {
    uint64_t key;
    uint64_t ticks;
    uint64_t steps;
    struct phase phases[SOURCES_MAX]; /* relative to its end */
    uint64_t pulses[PINS_MAX];
};

struct skip {
    uint64_t *slow; /* bits by flip-flop */
    uint64_t *hashes; /* by node, of what is left of it */
    uint8_t *changed; /* by node: its hash is another than before */
    node_id *gates;   /* those that depend on the slow part */
    uint32_t n_gates;
    uint64_t *flop_hashes; /* by flip-flop: of when it changes (slow), of what it becomes (fast) */
    uint16_t *places; /* by hash of a key: 1 + index of its stretch */
    struct stretch *stretches;
    uint64_t *ends; /* flip-flops at the end of each stretch */
    uint64_t *before;
    uint32_t n_entries;
    uint64_t stretches_run, hits, work_begun;
};

/* ---- what is left of the gates */

static const uint64_t HASH_OF_0 = 0x5851f42d4c957f2du, HASH_OF_1 = 0x14057b7ef767814fu;

static uint64_t hash_of(bool value)
{
    return value ? HASH_OF_1 : HASH_OF_0;
}

static bool is_constant(uint64_t hash)
{
    return hash == HASH_OF_0 || hash == HASH_OF_1;
}

static uint64_t join(uint64_t a, uint64_t b)
{
    return mix64(a * 0x9fb21c651e98df25u ^ b);
}

struct rest {
    uint16_t table;
    uint64_t in[4]; /* hashes */
};

static struct rest rest_of(const uint64_t *hashes, const struct node *gate)
{
    static const uint16_t where_one[4] = {0xaaaa, 0xcccc, 0xf0f0, 0xff00};
    struct rest rest = {.table = gate->table};
    for (unsigned i = 0; i < 4; i++) {
        rest.in[i] = hashes[gate->in[i]];
        if (!is_constant(rest.in[i]))
            continue;
        unsigned shift = 1u << i;
        uint16_t one = rest.table & where_one[i], zero = (uint16_t)(rest.table & ~where_one[i]);
        rest.table = rest.in[i] == HASH_OF_1 ? (uint16_t)(one | one >> shift) : (uint16_t)(zero | zero << shift);
    }
    return rest;
}

static uint64_t hash_rest(struct rest rest)
{
    static const uint16_t alone[4] = {0xaaaa, 0xcccc, 0xf0f0, 0xff00};
    if (rest.table == 0 || rest.table == 0xffff)
        return hash_of(rest.table != 0);
    uint64_t hash = rest.table;
    for (unsigned i = 0; i < 4; i++) {
        if (rest.table == alone[i])
            return rest.in[i];
        if (table_depends(rest.table, i))
            hash = join(hash + i, rest.in[i]);
    }
    return hash;
}

static uint64_t hash_of_number(uint16_t value)
{
    return mix64(HASH_OF_0 + value);
}

/* Whether a hash is that of a constant, bit or number; `value` is what the node has now. */
static bool is_constant_now(uint64_t hash, uint16_t value)
{
    return is_constant(hash) || hash == hash_of_number(value);
}

static uint64_t hash_word(const uint64_t *hashes, const struct word *word, uint16_t value)
{
    uint64_t hash = 0;
    bool constant = true;
    for (unsigned i = 0; i < word->n; i++) {
        uint64_t in = hashes[word->in[i]];
        constant = constant && is_constant(in);
        hash = join(hash, in);
    }
    return constant ? hash_of_number(value) : hash;
}

static uint64_t hash_arithmetic(const struct run *run, const uint64_t *hashes, node_id id)
{
    const struct node *node = &run->design->netlist.nodes[id];
    uint64_t hash = node->table;
    bool constant = true;
    for (unsigned i = 0; i < 4; i++) {
        constant = constant && is_constant_now(hashes[node->in[i]], run->values[node->in[i]]);
        hash = join(hash, hashes[node->in[i]]);
    }
    if (!constant)
        return hash;
    return arithmetic_is_bit(node->table) ? hash_of(run->values[id]) : hash_of_number(run->values[id]);
}

/* A bit of a number or of a word of a memory. */
static uint64_t hash_bit(const struct run *run, const uint64_t *hashes, node_id id)
{
    const struct node *node = &run->design->netlist.nodes[id];
    uint64_t in = hashes[node->in[0]];
    if (in == hash_of_number(run->values[node->in[0]]))
        return hash_of(run->values[id]);
    if (node->kind == NODE_WORD_BIT)
        return join(in, node->table);
    return join(join((uint64_t)node->index << 16 | node->table, in), run->memory_hash[node->index]);
}

static uint64_t hash_gate(const struct run *run, const uint64_t *hashes, node_id id)
{
    const struct netlist *netlist = &run->design->netlist;
    const struct node *node = &netlist->nodes[id];
    switch (node->kind) {
    case NODE_GATE:
        return hash_rest(rest_of(hashes, node));
    case NODE_WORD:
        return hash_word(hashes, &netlist->words[node->index], run->values[id]);
    case NODE_ARITHMETIC:
        return hash_arithmetic(run, hashes, id);
    case NODE_NUMBER:
        return hash_of_number(node->table);
    default:
        return hash_bit(run, hashes, id);
    }
}

static bool inputs_changed(const struct run *run, node_id id)
{
    const struct node *node = &run->design->netlist.nodes[id];
    const uint8_t *changed = run->skip->changed;
    switch (node->kind) {
    case NODE_GATE:
    case NODE_ARITHMETIC:
        return changed[node->in[0]] | changed[node->in[1]] | changed[node->in[2]] | changed[node->in[3]];
    case NODE_WORD_BIT:
        return changed[node->in[0]];
    case NODE_NUMBER:
        return false;
    default:
        return true; /* memories and words are few, and memories change by writing too */
    }
}

static void note_hash(struct skip *skip, node_id id, uint64_t hash)
{
    skip->changed[id] = hash != skip->hashes[id];
    skip->hashes[id] = hash;
}

/* Only what depends on the slow part can differ from the last time. */
static void hash_nodes(struct run *run)
{
    const struct netlist *netlist = &run->design->netlist;
    struct skip *skip = run->skip;
    for (uint32_t word = 0; word < run->design->flop_words; word++)
        for (uint64_t slow = skip->slow[word]; slow != 0; slow &= slow - 1) {
            node_id id = netlist->first_flop + word * 64 + (uint32_t)__builtin_ctzll(slow);
            note_hash(skip, id, hash_of(run->values[id]));
        }
    for (uint32_t i = 0; i < skip->n_gates; i++) {
        node_id id = skip->gates[i];
        if (inputs_changed(run, id))
            note_hash(skip, id, hash_gate(run, skip->hashes, id));
        else
            skip->changed[id] = false;
    }
    run->work += skip->n_gates / 4;
}

/* All nodes once, and which of them depend on the slow part: their hash is another than it is without a slow part. */
static void begin_hashes(struct run *run)
{
    const struct netlist *netlist = &run->design->netlist;
    struct skip *skip = run->skip;
    skip->hashes[0] = HASH_OF_0;
    skip->hashes[1] = HASH_OF_1;
    for (node_id id = 2; id < netlist->first_gate; id++)
        skip->hashes[id] = mix64(id);
    for (uint32_t i = 0; i < netlist->n_flops; i++)
        skip->changed[netlist->first_flop + i] = skip->slow[i / 64] >> i % 64 & 1;
    for (node_id id = netlist->first_gate; id < netlist->n_nodes; id++) {
        skip->hashes[id] = hash_gate(run, skip->hashes, id);
        skip->changed[id] = inputs_changed(run, id);
        if (skip->changed[id])
            skip->gates[skip->n_gates++] = id;
    }
}

/* When a slow flip-flop's D differs from what it holds. */
static uint64_t hash_difference(const struct run *run, uint32_t index)
{
    const struct netlist *netlist = &run->design->netlist;
    const struct flop *flop = &netlist->flops[index];
    const uint64_t *hashes = run->skip->hashes;
    bool held = run->values[flop->node];
    uint64_t d = hashes[flop->d];
    if (is_constant(d))
        return hash_of(d != hash_of(held));
    if (!run->design->sole_d[index])
        return held ? join(d, 1) : d;
    struct rest rest = rest_of(hashes, &netlist->nodes[flop->d]);
    if (held)
        rest.table = (uint16_t)~rest.table;
    return hash_rest(rest);
}

/* When a slow flip-flop changes, as a hash; HASH_OF_0 if never. */
static uint64_t hash_change(const struct run *run, uint32_t index)
{
    const struct flop *flop = &run->design->netlist.flops[index];
    const uint64_t *hashes = run->skip->hashes;
    uint64_t reset = hashes[flop->reset], enable = hashes[flop->enable], clock = hashes[flop->clock];
    bool away = run->values[flop->node] != flop->set; /* a reset changes it */
    uint64_t difference = hash_difference(run, index);
    if (reset != HASH_OF_0)
        difference = join(join(difference, reset), away * 2u + flop->asynchronous);
    if (is_constant(clock) && !flop->asynchronous)
        return HASH_OF_0;
    if (reset == HASH_OF_0 && (enable == HASH_OF_0 || difference == HASH_OF_0 || is_constant(clock)))
        return HASH_OF_0;
    return join(join(difference, enable), clock + flop->negative);
}

static bool flop_inputs_changed(const struct run *run, const struct flop *flop)
{
    const uint8_t *changed = run->skip->changed;
    return changed[flop->node] | changed[flop->d] | changed[flop->enable] | changed[flop->reset] | changed[flop->clock];
}

/* What a fast flip-flop becomes. */
static uint64_t hash_next(const struct run *run, uint32_t index)
{
    const struct flop *flop = &run->design->netlist.flops[index];
    const uint64_t *hashes = run->skip->hashes;
    return join(join(hashes[flop->d] + index, hashes[flop->enable]), join(hashes[flop->reset], hashes[flop->clock]));
}

static void hash_flops(struct run *run, bool all)
{
    struct skip *skip = run->skip;
    for (uint32_t i = 0; i < run->design->netlist.n_flops; i++)
        if (all || flop_inputs_changed(run, &run->design->netlist.flops[i]))
            skip->flop_hashes[i] = skip->slow[i / 64] >> i % 64 & 1 ? hash_change(run, i) : hash_next(run, i);
}

/* Slow changes are a set: it does not matter which flip-flop changes, and several often do so at the same time. */
static uint64_t join_flops(const struct run *run)
{
    const struct skip *skip = run->skip;
    uint64_t seen[64], sum = 0;
    uint32_t n_seen = 0;
    for (uint32_t i = 0; i < run->design->netlist.n_flops; i++) {
        uint64_t hash = skip->flop_hashes[i];
        bool slow = skip->slow[i / 64] >> i % 64 & 1, known = slow && hash == HASH_OF_0;
        for (uint32_t k = 0; k < n_seen && slow && !known; k++)
            known = seen[k] == hash;
        if (known)
            continue;
        if (slow && n_seen < sizeof seen / sizeof *seen)
            seen[n_seen++] = hash;
        sum += slow ? mix64(hash) : hash;
    }
    return sum;
}

static uint64_t hash_writes(const struct run *run)
{
    const struct netlist *netlist = &run->design->netlist;
    const uint64_t *hashes = run->skip->hashes;
    uint64_t sum = 0;
    for (uint32_t i = 0; i < netlist->n_memories; i++) {
        const struct memory *memory = &netlist->memories[i];
        if (memory->written && hashes[memory->write_enable] != HASH_OF_0)
            sum += join(join(join(i, hashes[memory->write_enable]), hashes[memory->write_clock]), run->memory_hash[i]);
        for (unsigned k = 0; k < 16 && memory->written && hashes[memory->write_enable] != HASH_OF_0; k++)
            sum +=
                join(join(16 * i + k, hashes[memory->data[k]]), join(hashes[memory->keep[k]], hashes[memory->write_address]));
    }
    return sum;
}

static uint64_t hash_fast_state(const struct run *run)
{
    const struct netlist *netlist = &run->design->netlist;
    uint64_t hash = 0;
    for (uint32_t word = 0; word < run->design->flop_words; word++)
        hash = join(hash, run->flops[word] & ~run->skip->slow[word]);
    for (uint32_t i = 0; i < netlist->n_sources; i++)
        hash = join(hash, (run->phases[i].next - run->now) * 2 + run->phases[i].level);
    for (uint32_t i = 0; i < netlist->n_pins; i++)
        hash = join(hash, run->skip->hashes[netlist->pins[i]]);
    return hash;
}

static uint64_t key_of(struct run *run)
{
    hash_nodes(run);
    hash_flops(run, run->skip->stretches_run == 0);
    return join(join(hash_fast_state(run), join_flops(run)), hash_writes(run)) | 1;
}

/* ---- stretches */

/* Where a key's stretch is noted, or could be. */
static uint16_t *find(const struct skip *skip, uint64_t key)
{
    uint64_t at = mix64(key) & (2 * ENTRIES_MAX - 1);
    while (skip->places[at] != 0 && skip->stretches[skip->places[at] - 1].key != key)
        at = (at + 1) & (2 * ENTRIES_MAX - 1);
    return &skip->places[at];
}

static uint64_t *end_of(const struct run *run, const struct stretch *stretch)
{
    return run->skip->ends + (size_t)(stretch - run->skip->stretches) * run->design->flop_words;
}

static void apply(struct run *run, const struct stretch *stretch)
{
    const struct netlist *netlist = &run->design->netlist;
    const uint64_t *end = end_of(run, stretch), *slow = run->skip->slow;
    for (uint32_t word = 0; word < run->design->flop_words; word++) {
        uint64_t changes = (end[word] ^ run->flops[word]) & ~slow[word];
        for (; changes != 0; changes &= changes - 1)
            run_flip(run, word * 64 + (uint32_t)__builtin_ctzll(changes));
    }
    run->now += stretch->ticks;
    run->steps += stretch->steps;
    for (uint32_t i = 0; i < netlist->n_sources; i++) {
        run->phases[i] = (struct phase){run->now + stretch->phases[i].next, stretch->phases[i].level};
        if (run->design->both_edges[i])
            run_set(run, 2 + i, run->phases[i].level);
    }
    run_settle_levels(run);
    for (uint32_t i = 0; i < netlist->n_pins; i++) {
        run->pulses[i] += stretch->pulses[i];
        run->levels[i] = run->values[netlist->pins[i]];
    }
}

static void forget_all(struct skip *skip)
{
    memset(skip->places, 0, 2 * (size_t)ENTRIES_MAX * sizeof *skip->places);
    skip->n_entries = 0;
}

struct state {
    uint64_t now, steps;
    struct phase phases[SOURCES_MAX];
    uint64_t pulses[PINS_MAX];
};

static struct state state_of(const struct run *run)
{
    struct state state = {.now = run->now, .steps = run->steps};
    memcpy(state.phases, run->phases, sizeof state.phases);
    memcpy(state.pulses, run->pulses, sizeof state.pulses);
    return state;
}

static void remember(struct run *run, uint64_t key, const struct state *start, const struct state *end)
{
    struct skip *skip = run->skip;
    if (end->now == start->now)
        return; /* nothing to pass over */
    if (skip->n_entries == ENTRIES_MAX)
        forget_all(skip);
    uint16_t *place = find(skip, key);
    if (*place == 0)
        *place = (uint16_t)++skip->n_entries;
    struct stretch *stretch = &skip->stretches[*place - 1];
    *stretch = (struct stretch){.key = key, .ticks = end->now - start->now, .steps = end->steps - start->steps};
    for (uint32_t i = 0; i < run->design->netlist.n_sources; i++)
        stretch->phases[i] = (struct phase){end->phases[i].next - end->now, end->phases[i].level};
    for (uint32_t i = 0; i < run->design->netlist.n_pins; i++)
        stretch->pulses[i] = end->pulses[i] - start->pulses[i];
    memcpy(end_of(run, stretch), skip->before, run->design->flop_words * sizeof *skip->before);
}

/* Whether the last step changed the slow part, by what it was before, or wrote to a memory. */
static bool slow_changed(const struct run *run, uint32_t writes)
{
    const struct skip *skip = run->skip;
    uint64_t changes = run->memory_writes != writes;
    for (uint32_t word = 0; word < run->design->flop_words; word++)
        changes |= (run->flops[word] ^ skip->before[word]) & skip->slow[word];
    return changes != 0;
}

/* In a circuit that is all change no stretch comes again, and there may be few. */
static bool is_hopeless(const struct run *run)
{
    return run->flat != NULL && run->skip->hits == 0 && run->work > run->skip->work_begun + TRIAL_BUSY;
}

/* Step by step to the next change of the slow part; returns whether that was reached. */
static bool walk(struct run *run, uint64_t ticks, struct state *end)
{
    while (run->state == RUN_GOOD && run_next(run) < ticks && !run_is_spent(run) && !is_hopeless(run)) {
        *end = state_of(run);
        memcpy(run->skip->before, run->flops, run->design->flop_words * sizeof *run->flops);
        uint32_t writes = run->memory_writes;
        run_step(run);
        if (slow_changed(run, writes))
            return true;
    }
    return false;
}

static bool pays(const struct run *run)
{
    const struct skip *skip = run->skip;
    return skip->stretches_run < TRIAL || skip->hits * 2 > skip->stretches_run;
}

static void give_up(struct run *run)
{
    skip_close(run->skip);
    run->skip = NULL;
    if (run->skip_at == SKIP_LONGER)
        run->skip_at = SKIP_AGAIN;
    period_restart(run);
}

void skip_on(struct run *run, uint64_t ticks)
{
    struct skip *skip = run->skip;
    uint64_t key = key_of(run);
    uint16_t place = *find(skip, key);
    const struct stretch *stretch = place > 0 ? &skip->stretches[place - 1] : NULL;
    struct state start = state_of(run), end;
    skip->stretches_run++;
    if (stretch != NULL && run->now + stretch->ticks < ticks) {
        skip->hits++;
        apply(run, stretch);
        if (run_next(run) >= ticks)
            return;
        run_step(run);
    } else if (walk(run, ticks, &end)) {
        remember(run, key, &start, &end);
    } else {
        if (is_hopeless(run))
            give_up(run);
        return;
    }
    period_look(run);
    if (!pays(run))
        give_up(run);
}

/* ---- which part is slow */

/* Marks the slow flip-flops, and returns how many there are. What is passed over counts no changes of fast ones, so one that was fast
 * is never slow. */
static uint32_t find_slow(struct run *run, uint64_t seldom, uint64_t *slow, uint64_t *changes)
{
    uint32_t n_slow = 0;
    for (uint32_t i = 0; i < run->design->netlist.n_flops; i++) {
        uint64_t bit = (uint64_t)1 << i % 64;
        if (run->toggles[i] > run->steps / seldom)
            run->never_slow[i / 64] |= bit;
        if (run->never_slow[i / 64] & bit)
            continue;
        slow[i / 64] |= bit;
        *changes += run->toggles[i];
        n_slow++;
    }
    return n_slow;
}

/* A first time with short stretches, which soon pay for circuits with short periods, and later a second with long ones. */
void skip_begin(struct run *run)
{
    const struct design *design = run->design;
    bool first = run->skip_at == SKIP_FIRST;
    uint64_t *slow = calloc(design->flop_words, sizeof *slow), changes = 0;
    uint32_t n_slow = slow != NULL ? find_slow(run, first ? SELDOM_FIRST : SELDOM_LAST, slow, &changes) : 0;
    run->skip_at = first ? SKIP_AGAIN : UINT64_MAX;
    struct skip *skip = calloc(1, sizeof *skip);
    if (n_slow == 0 || (changes + run->memory_writes) * STRETCH_LEAST > run->steps || skip == NULL) {
        free(slow);
        free(skip);
        return;
    }
    if (first)
        run->skip_at = SKIP_LONGER;
    skip_close(run->skip);
    run->skip = skip;
    skip->slow = slow;
    skip->work_begun = run->work;
    skip->hashes = calloc(design->netlist.n_nodes, sizeof *skip->hashes);
    skip->changed = calloc(design->netlist.n_nodes, sizeof *skip->changed);
    skip->gates = calloc(design->n_gates + 1, sizeof *skip->gates);
    skip->flop_hashes = calloc(design->netlist.n_flops + 1, sizeof *skip->flop_hashes);
    skip->before = calloc(design->flop_words, sizeof *skip->before);
    skip->places = calloc(2 * (size_t)ENTRIES_MAX, sizeof *skip->places);
    skip->stretches = malloc(ENTRIES_MAX * sizeof *skip->stretches);
    skip->ends = malloc((size_t)ENTRIES_MAX * design->flop_words * sizeof *skip->ends);
    if (skip->hashes == NULL || skip->changed == NULL || skip->gates == NULL || skip->flop_hashes == NULL ||
        skip->before == NULL || skip->places == NULL || skip->stretches == NULL || skip->ends == NULL)
        give_up(run);
    else
        begin_hashes(run);
    period_restart(run); /* from now on it looks after stretches alone */
}

void skip_close(struct skip *skip)
{
    if (skip == NULL)
        return;
    free(skip->slow);
    free(skip->hashes);
    free(skip->changed);
    free(skip->gates);
    free(skip->flop_hashes);
    free(skip->before);
    free(skip->places);
    free(skip->stretches);
    free(skip->ends);
    free(skip);
}
