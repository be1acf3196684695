#include "simulate.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chipdb.h"
#include "routes.h"
#include "run.h"

enum { FILE_MAX = 4 << 20, DESCRIPTION = 80, WAVES_MAX = 256, CHANGES_MAX = 1000000 };

/* A user waits for it, so it may take longer than on a board: some ten seconds. */
#define WORK_MOST ((uint64_t)1000000000)

static uint8_t *read_all(const char *path, size_t *n)
{
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");
    uint8_t *bytes = malloc(FILE_MAX);
    *n = file != NULL && bytes != NULL ? fread(bytes, 1, FILE_MAX, file) : 0;
    if (*n == 0) {
        fprintf(stderr, "icefarm-boards: %s can't be read: %s\n", path, errno != 0 ? strerror(errno) : "it is empty");
        free(bytes);
        bytes = NULL;
    }
    if (file != NULL && file != stdin)
        fclose(file);
    return bytes;
}

/* ---- words for parts */

static void describe_gate(const struct node *node, char text[DESCRIPTION])
{
    unsigned x = node->tile % CHIP_WIDTH, y = node->tile / CHIP_WIDTH;
    if (node->name >= NAME_LUT_LOUT && node->name < NAME_LUT_LOUT + 8)
        snprintf(text, DESCRIPTION, "look-up table %u in tile (%u, %u)", node->name - NAME_LUT_LOUT, x, y);
    else if (node->name >= NAME_LUT_COUT && node->name < NAME_LUT_COUT + 8)
        snprintf(text, DESCRIPTION, "carry %u in tile (%u, %u)", node->name - NAME_LUT_COUT, x, y);
    else if (node->kind == NODE_WORD_BIT || node->kind == NODE_ARITHMETIC)
        snprintf(text, DESCRIPTION, "DSP block in tile (%u, %u)", x, y);
    else
        snprintf(text, DESCRIPTION, "gate in tile (%u, %u)", x, y);
}

static void describe(const struct netlist *netlist, node_id id, char text[DESCRIPTION])
{
    const struct node *node = &netlist->nodes[id];
    unsigned x = node->tile % CHIP_WIDTH, y = node->tile / CHIP_WIDTH;
    if (node->kind == NODE_CONSTANT)
        snprintf(text, DESCRIPTION, "nothing that changes: it is always %u", id);
    else if (node->kind == NODE_SOURCE)
        snprintf(text, DESCRIPTION, "%s", netlist->sources[node->index].text);
    else if (node->kind != NODE_FLOP)
        describe_gate(node, text);
    else if (node->name >= NAME_LUT_OUT && node->name < NAME_LUT_OUT + 8)
        snprintf(text, DESCRIPTION, "flip-flop %u in tile (%u, %u)", node->name - NAME_LUT_OUT, x, y);
    else
        snprintf(text, DESCRIPTION, "register of a pin, memory or DSP block in tile (%u, %u)", x, y);
}

/* ---- the waveform: Value Change Dump (IEEE 1364, section 18) */

struct wave {
    node_id node;
    uint16_t last;
};

struct dump {
    FILE *file;
    const struct design *design;
    uint32_t n_waves, n_changes;
    struct wave waves[WAVES_MAX];
    double picoseconds; /* of a tick */
    double reached;     /* seconds that are in it */
};

/* Printable characters stand for a wave. */
static void put_id(FILE *file, uint32_t wave)
{
    do {
        fputc('!' + (int)(wave % 94), file);
        wave /= 94;
    } while (wave > 0);
}

static void add_wave(struct dump *dump, const char *name, node_id node)
{
    if (dump->n_waves == WAVES_MAX)
        return;
    fprintf(dump->file, "$var wire 1 ");
    put_id(dump->file, dump->n_waves);
    fprintf(dump->file, " %s $end\n", name);
    dump->waves[dump->n_waves++] = (struct wave){node, 2};
}

static void put_changes(void *context, const struct run *run)
{
    struct dump *dump = context;
    bool timed = false;
    if (dump->n_changes >= CHANGES_MAX)
        return;
    for (uint32_t i = 0; i < dump->n_waves; i++) {
        struct wave *wave = &dump->waves[i];
        uint16_t value = run->values[wave->node];
        if (value == wave->last)
            continue;
        if (!timed)
            fprintf(dump->file, "#%.0f\n", (double)run->now * dump->picoseconds);
        timed = true;
        fprintf(dump->file, "%u", value);
        put_id(dump->file, i);
        fputc('\n', dump->file);
        wave->last = value;
        dump->n_changes++;
    }
    dump->reached = (double)run->now / (double)run->design->ticks_per_second;
}

/* Pins, then clocks, then flip-flops by their place; a clock whose falling edge nobody sees stays low. */
static void put_head(struct dump *dump, const struct simulate_options *options)
{
    const struct netlist *netlist = &dump->design->netlist;
    char name[DESCRIPTION];
    fprintf(dump->file, "$timescale 1ps $end\n$scope module ice40 $end\n");
    for (uint32_t i = 0; i < netlist->n_pins; i++) {
        snprintf(name, sizeof name, "ICE_%u", options->pins[i]);
        add_wave(dump, name, netlist->pins[i]);
    }
    for (uint32_t i = 0; i < netlist->n_flops; i++) {
        const struct node *node = &netlist->nodes[netlist->first_flop + i];
        bool cell = node->name >= NAME_LUT_OUT && node->name < NAME_LUT_OUT + 8;
        snprintf(name, sizeof name, cell ? "x%u_y%u_ff%u" : "x%u_y%u_r%u", node->tile % CHIP_WIDTH, node->tile / CHIP_WIDTH,
                 cell ? (unsigned)node->name - NAME_LUT_OUT : i);
        add_wave(dump, name, netlist->first_flop + i);
    }
    fprintf(dump->file, "$upscope $end\n$enddefinitions $end\n");
}

/* Returns the seconds that the waveform has, or a negative number after a message. */
static double write_waveform(const struct design *design, const struct simulate_options *options)
{
    struct dump dump = {.design = design, .picoseconds = 1e12 / (double)design->ticks_per_second};
    struct run *run = run_open(design, WORK_MOST);
    dump.file = fopen(options->vcd, "w");
    if (run == NULL || dump.file == NULL) {
        fprintf(stderr, "icefarm-boards: %s can't be written: %s\n", options->vcd, strerror(errno));
        run_close(run);
        return -1;
    }
    put_head(&dump, options);
    put_changes(&dump, run);
    uint64_t end = (uint64_t)rint(options->window_s * (double)design->ticks_per_second), part = end / 1000 + 1;
    for (uint64_t to = part; dump.n_changes < CHANGES_MAX && run_next(run) < end && run->state == RUN_GOOD; to += part)
        run_each(run, to < end ? to : end, put_changes, &dump);
    if (run_next(run) >= end)
        dump.reached = options->window_s;
    fprintf(dump.file, "#%.0f\n", dump.reached * 1e12);
    run_close(run);
    bool written = !ferror(dump.file);
    if (fclose(dump.file) == 0 && written)
        return dump.reached;
    fprintf(stderr, "icefarm-boards: %s can't be written: %s\n", options->vcd, strerror(errno));
    return -1;
}

/* ---- the answer */

static void put_pins(const struct design *design, const struct simulate_options *options, const struct ice40 *fpga)
{
    char text[DESCRIPTION];
    printf("\"pins\": [");
    for (uint32_t i = 0; i < options->n_pins; i++) {
        describe(&design->netlist, design->netlist.pins[i], text);
        double pulses = rint(ice40_pulses(fpga, i));
        printf("%s{\"pin\": %u, \"driver\": \"%s\", \"pulses\": %.0f, \"hz\": %.10g}", i > 0 ? ", " : "", options->pins[i],
               text, pulses, pulses / options->window_s);
    }
    printf("]");
}

static uint32_t count_bits(const uint64_t *bits, uint32_t words)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < words; i++)
        n += (uint32_t)__builtin_popcountll(bits[i]);
    return n;
}

static void put_clocks(const struct design *design)
{
    char text[DESCRIPTION];
    printf(", \"clocks\": [");
    for (uint32_t i = 0; i < design->n_clocks; i++) {
        const struct clock *clock = &design->clocks[i];
        const struct node *node = &design->netlist.nodes[clock->node];
        describe(&design->netlist, clock->node, text);
        printf("%s{\"clock\": \"%s\", \"rising\": %u, \"falling\": %u, \"hz\": ", i > 0 ? ", " : "", text,
               count_bits(clock->flops[1], design->flop_words), count_bits(clock->flops[0], design->flop_words));
        if (node->kind == NODE_SOURCE)
            printf("%.10g}", (double)design->netlist.sources[node->index].numerator /
                                 (double)design->netlist.sources[node->index].denominator);
        else
            printf("null}");
    }
    printf("]");
}

static void put_cells(const struct netlist *netlist)
{
    uint32_t luts = 0, carries = 0, rams = 0, sprams = 0, dsps = 0;
    uint64_t seen = 0;
    bool has_dsp[CHIP_TILES] = {false};
    for (node_id id = netlist->first_gate; id < netlist->n_nodes; id++) {
        const struct node *node = &netlist->nodes[id];
        luts += node->kind == NODE_GATE && node->name >= NAME_LUT_LOUT && node->name < NAME_LUT_LOUT + 8;
        carries += node->kind == NODE_GATE && node->name >= NAME_LUT_COUT && node->name < NAME_LUT_COUT + 8;
        if (node->kind == NODE_MEMORY_BIT)
            seen |= (uint64_t)1 << node->index;
        dsps += node->kind == NODE_ARITHMETIC && !has_dsp[node->tile];
        has_dsp[node->tile] |= node->kind == NODE_ARITHMETIC;
    }
    for (uint32_t i = 0; i < netlist->n_memories; i++)
        if (seen >> i & 1)
            *(netlist->memories[i].is_spram ? &sprams : &rams) += 1;
    printf(", \"cells\": {\"look_up_tables\": %u, \"carries\": %u, \"flip_flops\": %u, \"block_rams\": %u, \"sprams\": %u, "
           "\"dsp_blocks\": %u}",
           luts, carries, netlist->n_flops, rams, sprams, dsps);
}

/* ---- where it is on the chip */

static bool within(unsigned name, unsigned first)
{
    return name >= first && name < first + 8;
}

static const char *kind_of(const struct node *node)
{
    if (node->kind == NODE_FLOP)
        return within(node->name, NAME_LUT_OUT) ? "flip_flop" : "register";
    if (node->kind == NODE_MEMORY_BIT)
        return "memory";
    if (node->kind == NODE_ARITHMETIC)
        return "dsp_block";
    if (node->kind == NODE_GATE && within(node->name, NAME_LUT_LOUT))
        return "look_up_table";
    return node->kind == NODE_GATE && within(node->name, NAME_LUT_COUT) ? "carry" : NULL;
}

/* One of the eight logic cells of a tile; 0 for all else. */
static unsigned cell_of(const struct node *node)
{
    bool logic = node->name >= NAME_LUT_OUT && node->name < NAME_LUT_LOUT + 8;
    return logic ? (node->name - NAME_LUT_OUT) % 8u : 0;
}

static void put_cells_of_plan(const struct design *design)
{
    const struct netlist *netlist = &design->netlist;
    const char *comma = "";
    for (node_id id = netlist->first_flop; id < netlist->n_nodes; id++) {
        const struct node *node = &netlist->nodes[id];
        const char *kind = kind_of(node);
        if (kind == NULL)
            continue;
        int clock = node->kind == NODE_FLOP ? (int)design->clock_of[netlist->flops[node->index].clock] - 1 : -1;
        printf("%s[\"%s\", %u, %u, %u, %d]", comma, kind, node->tile % CHIP_WIDTH, node->tile / CHIP_WIDTH, cell_of(node),
               clock);
        comma = ", ";
    }
}

static void put_plan(const struct design *design, const struct simulate_options *options, const struct routes *routes)
{
    printf(", \"plan\": {\"cells\": [");
    put_cells_of_plan(design);
    printf("], \"legs\": [");
    for (uint32_t i = 0; i < routes->n; i++) {
        struct leg leg = routes->legs[i];
        printf("%s[%u, %u, %u, %u]", i > 0 ? ", " : "", leg.from % CHIP_WIDTH, leg.from / CHIP_WIDTH, leg.to % CHIP_WIDTH,
               leg.to / CHIP_WIDTH);
    }
    printf("], \"pads\": [");
    const char *comma = "";
    for (uint32_t k = 0; k < options->n_pins; k++)
        for (unsigned i = 0; i < chip_n_pins; i++)
            if (chip_pins[i].pin == options->pins[k]) {
                printf("%s[%u, %u, %u]", comma, chip_pins[i].pin, chip_pins[i].x, chip_pins[i].y);
                comma = ", ";
            }
    printf("]}");
}

static int answer(struct ice40 *fpga, const struct routes *routes, const struct simulate_options *options)
{
    const struct design *design = ice40_design(fpga);
    enum ice40_origin origin = ice40_advance(fpga, options->window_s);
    if (origin == ICE40_FAILED) {
        printf("{\"reason\": \"%s\"}\n", ice40_reason(fpga));
        return 0;
    }
    double waveform = options->vcd != NULL ? write_waveform(design, options) : 0;
    if (waveform < 0)
        return 1;
    printf("{\"reason\": null, \"window_s\": %.10g, \"origin\": \"%s\", ", options->window_s,
           origin == ICE40_SIMULATED ? "simulated" : "extrapolated");
    printf("\"period_s\": ");
    printf(ice40_period(fpga) > 0 ? "%.12g, " : "null, ", ice40_period(fpga));
    put_pins(design, options, fpga);
    put_clocks(design);
    put_cells(&design->netlist);
    if (options->plan)
        put_plan(design, options, routes);
    printf(", \"waveform_s\": ");
    printf(options->vcd != NULL ? "%.10g}\n" : "null}\n", waveform);
    return 0;
}

int simulate(const struct simulate_options *options)
{
    size_t n;
    uint8_t *bitstream = read_all(options->file, &n);
    struct chip *chip = chip_open();
    struct decoder *decoder = chip != NULL ? decoder_open(chip) : NULL;
    struct routes *routes = calloc(1, sizeof *routes);
    char reason[ICE40_TEXT] = "there is no memory left";
    if (bitstream == NULL)
        return 1;
    if (decoder != NULL && options->plan)
        decoder_note_routes(decoder, routes);
    struct ice40_setup setup = {.pins = options->pins, .n_pins = options->n_pins, .work = WORK_MOST};
    setup.clock_hz = options->clock_mhz * 1000000;
    struct ice40 *fpga = decoder != NULL && routes != NULL ? ice40_open(decoder, bitstream, n, &setup, reason) : NULL;
    int code = 0;
    if (fpga == NULL)
        printf("{\"reason\": \"%s\"}\n", reason);
    else
        code = answer(fpga, routes, options);
    ice40_close(fpga);
    free(routes);
    decoder_close(decoder);
    chip_close(chip);
    free(bitstream);
    return code != 0 || fflush(stdout) != 0;
}
