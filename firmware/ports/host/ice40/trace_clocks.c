/* Where clocks come from: the two oscillators, the PLL, and the eight global networks. */
#include <stdio.h>

#include "trace.h"

enum { TABLE_OSCILLATOR = 0x8080 }; /* of three: the clock, powered up, enabled */
enum { HFOSC_HZ = 48000000, LFOSC_HZ = 10000, GLOBAL_OF_HFOSC = 4, GLOBAL_OF_LFOSC = 5 };

static const struct chip_cell *find_cell(unsigned kind)
{
    for (unsigned i = 0; i < chip_n_cells; i++)
        if (chip_cells[i].kind == kind)
            return &chip_cells[i];
    return NULL;
}

static const struct chip_port *port_of(const struct chip_cell *cell, unsigned port)
{
    return &chip_ports[cell->first_port + port];
}

static node_id port_wire(struct trace *trace, const struct chip_cell *cell, unsigned port, node_id undriven)
{
    const struct chip_port *at = port_of(cell, port);
    return trace_wire(trace, chip_tile_at(at->x, at->y), at->what, undriven);
}

static bool port_is_driven(const struct trace *trace, const struct chip_cell *cell, unsigned port)
{
    const struct chip_port *at = port_of(cell, port);
    return trace_is_driven(trace, chip_tile_at(at->x, at->y), at->what);
}

static bool port_bit(const struct trace *trace, const struct chip_cell *cell, unsigned port)
{
    const struct chip_port *at = port_of(cell, port);
    return trace_bit(trace, chip_tile_at(at->x, at->y), at->what & (unsigned)~CHIP_BIT);
}

/* A number from ports that follow one another, the lowest bit first. */
static unsigned port_number(const struct trace *trace, const struct chip_cell *cell, unsigned first, unsigned n)
{
    unsigned number = 0;
    for (unsigned i = 0; i < n; i++)
        number |= (unsigned)port_bit(trace, cell, first + i) << i;
    return number;
}

/* An oscillator runs while it is powered up and enabled. How far trimming changes it is not documented, and differs from chip to chip. */
node_id trace_oscillator(struct trace *trace, const struct chip_cell *cell)
{
    bool high = cell->kind == CELL_HFOSC;
    if (high && port_bit(trace, cell, HFOSC_TRIM_EN))
        return trace_unmodelled(trace, "a trimmed high-frequency oscillator", chip_tile_at(cell->x, cell->y));
    struct source source = {.numerator = LFOSC_HZ, .denominator = 1, .text = "LFOSC"};
    if (high) {
        source.numerator = HFOSC_HZ >> port_number(trace, cell, HFOSC_CLKHF_DIV_0, 2);
        snprintf(source.text, sizeof source.text, "HFOSC");
    }
    node_id on = port_wire(trace, cell, high ? HFOSC_CLKHFPU : LFOSC_CLKLFPU, 0);
    node_id enable = port_wire(trace, cell, high ? HFOSC_CLKHFEN : LFOSC_CLKLFEN, 0);
    return trace_gate(trace, chip_tile_at(cell->x, cell->y), TABLE_OSCILLATOR, trace_source(trace, source), on, enable);
}

/* A global network takes its level from the fabric or, where its bit in the CRAM says so, from a pad, whose place the oscillators
 * can have. */
node_id trace_global(struct trace *trace, unsigned number)
{
    const struct chip_global *global = &chip_globals[number];
    if (!config_bank_bit(trace->config, global->bank, global->bit_x, global->bit_y))
        return trace_wire(trace, chip_tile_at(global->fabric_x, global->fabric_y), NAME_FABOUT, 0);
    const struct chip_cell *high = find_cell(CELL_HFOSC), *low = find_cell(CELL_LFOSC);
    if (number == GLOBAL_OF_HFOSC && port_is_driven(trace, high, HFOSC_CLKHFPU))
        return trace_oscillator(trace, high);
    if (number == GLOBAL_OF_LFOSC && port_is_driven(trace, low, LFOSC_CLKLFPU))
        return trace_oscillator(trace, low);
    unsigned tile = chip_tile_at(global->pad_x, global->pad_y);
    node_id output;
    if (trace_pll(trace, tile, global->pad_z, &output))
        return output;
    return trace_cell(trace, tile, MADE_PAD + global->pad_z);
}

/* PLLTYPE and FEEDBACK_PATH (Lattice, "iCE40 sysCLOCK PLL Design and Usage Guide"; IceStorm for their bits). */
enum { PLL_OFF = 0, PLL_PAD = 2, PLL_CORE = 3, PLL_2_PAD = 4, PLL_2F_PAD = 6, PLL_2F_CORE = 7 };
enum { FEEDBACK_DELAY = 0, FEEDBACK_SIMPLE = 1, FEEDBACK_PHASE = 2, FEEDBACK_EXTERNAL = 6 };
enum { SELECT_GENCLK = 0, SELECT_GENCLK_HALF = 1 };

static bool type_is_pad(unsigned type)
{
    return type == PLL_PAD || type == PLL_2_PAD || type == PLL_2F_PAD;
}

static uint64_t greatest_divisor(uint64_t a, uint64_t b)
{
    while (b != 0) {
        uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* Multiply the reference by what the dividers make. With SIMPLE feedback the VCO's frequency is divided at the output; with the
 * others the output's own division is in the loop, and so are the 4 or 7 of the shift register where that is the output. */
static void multiply(const struct trace *trace, const struct chip_cell *pll, unsigned select, struct source *source)
{
    uint64_t numerator = source->numerator * (port_number(trace, pll, PLL_DIVF_0, 7) + 1u);
    uint64_t denominator = source->denominator * (port_number(trace, pll, PLL_DIVR_0, 4) + 1u);
    unsigned feedback = port_number(trace, pll, PLL_FEEDBACK_PATH_0, 3);
    if (feedback == FEEDBACK_SIMPLE)
        denominator <<= port_number(trace, pll, PLL_DIVQ_0, 3);
    if (select == SELECT_GENCLK_HALF)
        denominator *= 2;
    uint64_t divisor = greatest_divisor(numerator, denominator);
    source->numerator = numerator / divisor;
    source->denominator = denominator / divisor;
}

/* The input that a gate hands on as it is, all others being constant; 0 if there is none. */
static node_id handed_on(const struct node *gate)
{
    unsigned base = 0, varying = 4;
    for (unsigned i = 0; i < 4; i++) {
        base |= (unsigned)(gate->in[i] == 1) << i;
        if (gate->in[i] > 1 && varying < 4)
            return 0;
        if (gate->in[i] > 1)
            varying = i;
    }
    bool passes = varying < 4 && !(gate->table >> base & 1) && gate->table >> (base | 1u << varying) & 1;
    return passes ? gate->in[varying] : 0;
}

/* One step back towards a clock, through what leaves it as it is; 0 where there is something else. */
static node_id step_back(struct trace *trace, node_id id)
{
    trace_finish(trace, id);
    const struct node *node = &trace->netlist->nodes[id];
    if (node->kind == NODE_SAME || (node->kind == NODE_GATE && node->table == TABLE_OSCILLATOR))
        return node->in[0];
    return node->kind == NODE_GATE ? handed_on(node) : 0;
}

/* The clock that the PLL starts from. It must be a clock as it comes: a divided or gated one has no frequency before it is simulated. */
static const struct source *reference(struct trace *trace, const struct chip_cell *pll, unsigned type)
{
    enum { STEPS_MAX = 32 };
    if (trace->in_reference)
        return NULL; /* the PLL's own output */
    trace->in_reference = true;
    node_id id =
        type_is_pad(type) ? trace_pad(trace, chip_tile_at(pll->x, pll->y), 1) : port_wire(trace, pll, PLL_REFERENCECLK, 0);
    for (unsigned i = 0; i < STEPS_MAX && id > 1 && trace->netlist->nodes[id].kind != NODE_SOURCE; i++)
        id = step_back(trace, id);
    trace->in_reference = false;
    const struct node *node = &trace->netlist->nodes[id];
    return node->kind == NODE_SOURCE ? &trace->netlist->sources[node->index] : NULL;
}

/* Held in reset it gives 0; with BYPASS it gives its reference. */
static node_id pll_clock(struct trace *trace, const struct chip_cell *pll, unsigned type, bool second)
{
    unsigned tile = chip_tile_at(pll->x, pll->y);
    const struct source *from = reference(trace, pll, type);
    if (from == NULL)
        return trace_unmodelled(trace, "a PLL whose reference is no plain clock", tile);
    node_id reset_n = port_wire(trace, pll, PLL_RESETB, 0), bypass = port_wire(trace, pll, PLL_BYPASS, 0);
    node_id plain = trace_source(trace, *from);
    unsigned select = port_number(trace, pll, second ? PLL_PLLOUT_SELECT_B_0 : PLL_PLLOUT_SELECT_A_0, 2);
    unsigned feedback = port_number(trace, pll, PLL_FEEDBACK_PATH_0, 3);
    if (feedback != FEEDBACK_SIMPLE || select > SELECT_GENCLK_HALF)
        return trace_unmodelled(trace, "a PLL with other feedback than SIMPLE, or with shifted output", tile);
    struct source made = *from;
    multiply(trace, pll, select, &made);
    snprintf(made.text, sizeof made.text, "PLL %c from %.20s", second ? 'B' : 'A', from->text);
    node_id running = trace_gate(trace, tile, TABLE_AND, trace_source(trace, made), reset_n, 0);
    return trace_gate(trace, tile, TABLE_SELECT, running, plain, bypass);
}

bool trace_pll(struct trace *trace, unsigned tile, unsigned z, node_id *output)
{
    const struct chip_cell *pll = find_cell(CELL_PLL);
    unsigned type = (unsigned)port_bit(trace, pll, PLL_PLLTYPE_0) | (unsigned)port_bit(trace, pll, PLL_PLLTYPE_1) << 1 |
                    (unsigned)port_bit(trace, pll, PLL_PLLTYPE_2) << 2;
    const struct chip_port *a = port_of(pll, PLL_PLLOUT_A), *b = port_of(pll, PLL_PLLOUT_B);
    bool is_a = tile == chip_tile_at(a->x, a->y) && z == 1, is_b = tile == chip_tile_at(b->x, b->y) && z == 0;
    bool two = type != PLL_PAD && type != PLL_CORE;
    if (type == PLL_OFF || (!is_a && !(is_b && two)) || (is_a && type == PLL_2_PAD))
        return false;
    *output = pll_clock(trace, pll, type, is_b);
    return true;
}
