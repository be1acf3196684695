/* DSP blocks. Source: Lattice, "iCE40 Technology Library", SB_MAC16, and "DSP Function Usage Guide for iCE40 Devices" (TN1295), whose
 * letters for wires inside the block these are; IceStorm, "UltraPlus Features Documentation", for places of ports and settings.
 *
 *   A, B, C, D    inputs, or their registers
 *   F, J, K, G    products of their halves, or registers: Ah*Bh, Al*Bh, Ah*Bl, Al*Bl
 *   H             the product of 32 bits, or its register: two halves
 *   X, Z          what the adders add to W (C, or Q) and to Y (D, or S); P, R: what they make, or C and D that are loaded
 *   Q, S          registers of P and R: the accumulators
 *
 * Only what an output depends on is made. */
#include "arithmetic.h"
#include "trace.h"

enum { TABLE_PASSES_2 = 0xf0f0 };
enum { OUTPUT_ADDER, OUTPUT_REGISTER, OUTPUT_8X8, OUTPUT_16X16 }; /* TOPOUTPUT_SELECT, BOTOUTPUT_SELECT */
enum { LOWER_INPUT, LOWER_8X8, LOWER_16X16, LOWER_SIGN }; /* TOPADDSUB_LOWERINPUT, BOTADDSUB_LOWERINPUT */
enum { CARRY_0, CARRY_1, CARRY_CASCADE, CARRY_INPUT }; /* TOPADDSUB_CARRYSELECT, BOTADDSUB_CARRYSELECT */

/* What differs between the upper half of a block and the lower one. */
struct half {
    unsigned output_select, lower_input, upper_input, carry_select, add_or_subtract, load, hold, reset;
    enum mac_bus input, loaded, product, product_16, accumulator, adder_input, result;
};

static const struct half halves[2] = {
    {MAC16_BOTOUTPUT_SELECT_0, MAC16_BOTADDSUB_LOWERINPUT_0, MAC16_BOTADDSUB_UPPERINPUT, MAC16_BOTADDSUB_CARRYSELECT_0,
     MAC16_ADDSUBBOT, MAC16_OLOADBOT, MAC16_OHOLDBOT, MAC16_ORSTBOT, MAC_B, MAC_D, MAC_G, MAC_H_LOW, MAC_S, MAC_Z, MAC_R},
    {MAC16_TOPOUTPUT_SELECT_0, MAC16_TOPADDSUB_LOWERINPUT_0, MAC16_TOPADDSUB_UPPERINPUT, MAC16_TOPADDSUB_CARRYSELECT_0,
     MAC16_ADDSUBTOP, MAC16_OLOADTOP, MAC16_OHOLDTOP, MAC16_ORSTTOP, MAC_A, MAC_C, MAC_F, MAC_H_HIGH, MAC_Q, MAC_X, MAC_P},
};
enum { BOTTOM, TOP };

static struct mac_wires *bus(struct trace *trace, struct mac *mac, enum mac_bus which);

/* ---- ports and settings */

static unsigned tile_of(const struct mac *mac)
{
    return chip_tile_at(mac->cell->x, mac->cell->y);
}

static node_id wire(struct trace *trace, const struct mac *mac, unsigned port, node_id undriven)
{
    const struct chip_port *at = &chip_ports[mac->cell->first_port + port];
    return trace_wire(trace, chip_tile_at(at->x, at->y), at->what, undriven);
}

static unsigned setting(const struct trace *trace, const struct mac *mac, unsigned port, unsigned n)
{
    unsigned value = 0;
    for (unsigned i = 0; i < n; i++) {
        const struct chip_port *at = &chip_ports[mac->cell->first_port + port + i];
        value |= (unsigned)trace_bit(trace, chip_tile_at(at->x, at->y), at->what & (unsigned)~CHIP_BIT) << i;
    }
    return value;
}

/* ---- numbers and their bits */

static node_id number(struct trace *trace, const struct mac *mac, struct mac_wires *wires)
{
    if (wires->number == 0)
        wires->number = trace_word(trace, tile_of(mac), wires->bits, 16);
    return wires->number;
}

static node_id bit(struct trace *trace, const struct mac *mac, struct mac_wires *wires, unsigned i)
{
    if (!wires->by_bits && wires->bits[i] == 0) {
        wires->bits[i] = trace_gate(trace, tile_of(mac), (uint16_t)i, wires->number, 0, 0);
        trace->netlist->nodes[wires->bits[i]].kind = NODE_WORD_BIT;
    }
    return wires->bits[i];
}

static node_id arithmetic(struct trace *trace, const struct mac *mac, unsigned how, node_id a, node_id b, node_id c, node_id d)
{
    node_id id = trace_gate(trace, tile_of(mac), (uint16_t)how, a, b, c);
    trace->netlist->nodes[id].kind = NODE_ARITHMETIC;
    trace->netlist->nodes[id].in[3] = d;
    return id;
}

static node_id number_of(struct trace *trace, struct mac *mac, enum mac_bus which)
{
    return number(trace, mac, bus(trace, mac, which));
}

/* Eight of the bits of an input, as a number: a product of the lower halves does not depend on the upper ones. */
static node_id byte_of(struct trace *trace, struct mac *mac, enum mac_bus which, unsigned first)
{
    struct mac_wires *wires = bus(trace, mac, which);
    node_id *known = &wires->bytes[first / 8];
    if (*known == 0)
        *known = trace_word(trace, tile_of(mac), wires->bits + first, 8);
    return *known;
}

/* ---- registers */

/* `hold`: the port that stops a register, or 0. */
static node_id enable(struct trace *trace, const struct mac *mac, unsigned hold)
{
    node_id on = wire(trace, mac, MAC16_CE, 1);
    return hold == 0 ? on : trace_gate(trace, tile_of(mac), TABLE_AND_NOT, on, wire(trace, mac, hold, 0), 0);
}

static node_id add_register(struct trace *trace, const struct mac *mac, node_id d, node_id on, node_id reset)
{
    const struct chip_port *clock = &chip_ports[mac->cell->first_port + MAC16_CLK];
    struct flop flop = {
        .d = d,
        .clock = wire(trace, mac, MAC16_CLK, 0),
        .enable = on,
        .reset = reset,
        .negative = trace_bit(trace, chip_tile_at(clock->x, clock->y), BIT_DSP2_NEGCLK),
        .asynchronous = true,
    };
    return trace_flop(trace, tile_of(mac), flop);
}

/* Put registers behind bits. */
static void add_registers(struct trace *trace, struct mac *mac, struct mac_wires *wires, node_id on, unsigned reset)
{
    struct mac_wires registers = {.made = true, .by_bits = true};
    node_id clear = wire(trace, mac, reset, 0);
    for (unsigned i = 0; i < 16 && trace->wrong == NULL; i++)
        registers.bits[i] = add_register(trace, mac, bit(trace, mac, wires, i), on, clear);
    *wires = registers;
}

/* An accumulator depends on itself, so its inputs are connected later. */
static void add_accumulator(struct trace *trace, struct mac *mac, struct mac_wires *wires, const struct half *half)
{
    node_id on = enable(trace, mac, half->hold), clear = wire(trace, mac, half->reset, 0);
    wires->by_bits = wires->unconnected = true;
    for (unsigned i = 0; i < 16 && trace->wrong == NULL; i++)
        wires->bits[i] = add_register(trace, mac, 0, on, clear);
}

static void connect_accumulator(struct trace *trace, struct mac *mac, const struct half *half)
{
    struct mac_wires *wires = &mac->buses[half->accumulator];
    if (!wires->unconnected)
        return;
    wires->unconnected = false;
    struct mac_wires *result = bus(trace, mac, half->result);
    for (unsigned i = 0; i < 16 && trace->wrong == NULL; i++) {
        node_id d = bit(trace, mac, result, i);
        trace->netlist->flops[trace->netlist->nodes[wires->bits[i]].index].d = d;
    }
}

/* ---- what the wires inside are */

static void make_input(struct trace *trace, struct mac *mac, enum mac_bus which)
{
    static const struct {
        unsigned first, has_register, hold, reset;
    } inputs[] = {
        [MAC_A] = {MAC16_A_0, MAC16_A_REG, MAC16_AHOLD, MAC16_IRSTTOP},
        [MAC_B] = {MAC16_B_0, MAC16_B_REG, MAC16_BHOLD, MAC16_IRSTBOT},
        [MAC_C] = {MAC16_C_0, MAC16_C_REG, MAC16_CHOLD, MAC16_IRSTTOP},
        [MAC_D] = {MAC16_D_0, MAC16_D_REG, MAC16_DHOLD, MAC16_IRSTBOT},
    };
    struct mac_wires *wires = &mac->buses[which];
    wires->by_bits = true;
    for (unsigned i = 0; i < 16; i++)
        wires->bits[i] = wire(trace, mac, inputs[which].first + i, 0);
    if (setting(trace, mac, inputs[which].has_register, 1))
        add_registers(trace, mac, wires, enable(trace, mac, inputs[which].hold), inputs[which].reset);
}

/* In a product of 16 bits each, the lower halves have no sign. Those of 8 bits stop the registers that they do not need. */
static void make_product(struct trace *trace, struct mac *mac, enum mac_bus which)
{
    static const struct {
        unsigned a_from, b_from, has_register, reset;
    } products[] = {
        [MAC_F] = {8, 8, MAC16_TOP_8x8_MULT_REG, MAC16_IRSTTOP},
        [MAC_J] = {0, 8, MAC16_PIPELINE_16x16_MULT_REG1, MAC16_IRSTTOP},
        [MAC_K] = {8, 0, MAC16_PIPELINE_16x16_MULT_REG1, MAC16_IRSTBOT},
        [MAC_G] = {0, 0, MAC16_BOT_8x8_MULT_REG, MAC16_IRSTBOT},
    };
    bool narrow = setting(trace, mac, MAC16_MODE_8x8, 1), both_low = which == MAC_G && narrow;
    unsigned how = ARITHMETIC_MULTIPLY, a_from = products[which].a_from, b_from = products[which].b_from;
    if (setting(trace, mac, MAC16_A_SIGNED, 1) && (a_from > 0 || both_low))
        how |= ARITHMETIC_FIRST_SIGNED;
    if (setting(trace, mac, MAC16_B_SIGNED, 1) && (b_from > 0 || both_low))
        how |= ARITHMETIC_SECOND_SIGNED;
    struct mac_wires *wires = &mac->buses[which];
    node_id a = byte_of(trace, mac, MAC_A, a_from), b = byte_of(trace, mac, MAC_B, b_from);
    wires->number = arithmetic(trace, mac, how, a, b, 0, 0);
    bool stopped = narrow && (which == MAC_J || which == MAC_K);
    if (setting(trace, mac, products[which].has_register, 1))
        add_registers(trace, mac, wires, stopped ? 0 : enable(trace, mac, 0), products[which].reset);
}

static void make_sum(struct trace *trace, struct mac *mac, enum mac_bus which)
{
    unsigned how = which == MAC_H_LOW ? ARITHMETIC_SUM_LOW : ARITHMETIC_SUM_HIGH;
    if (setting(trace, mac, MAC16_A_SIGNED, 1))
        how |= ARITHMETIC_FIRST_SIGNED;
    if (setting(trace, mac, MAC16_B_SIGNED, 1))
        how |= ARITHMETIC_SECOND_SIGNED;
    struct mac_wires *wires = &mac->buses[which];
    node_id g = number_of(trace, mac, MAC_G), k = number_of(trace, mac, MAC_K), j = number_of(trace, mac, MAC_J);
    node_id f = which == MAC_H_HIGH ? number_of(trace, mac, MAC_F) : 0;
    wires->number = arithmetic(trace, mac, how, g, k, j, f);
    bool stopped = setting(trace, mac, MAC16_MODE_8x8, 1);
    if (setting(trace, mac, MAC16_PIPELINE_16x16_MULT_REG2, 1))
        add_registers(trace, mac, wires, stopped ? 0 : enable(trace, mac, 0), MAC16_IRSTBOT);
}

/* Blocks that are one above the other pass a carry and a sign on. */
static struct mac *below(struct trace *trace, const struct mac *mac)
{
    struct mac *found = NULL;
    for (unsigned i = 0; i < MACS_MAX; i++) {
        struct mac *other = &trace->macs[i];
        bool is_below = other->cell->x == mac->cell->x && other->cell->y < mac->cell->y;
        if (is_below && (found == NULL || other->cell->y > found->cell->y))
            found = other;
    }
    return found;
}

static node_id sign_of(struct trace *trace, struct mac *mac, unsigned which)
{
    return bit(trace, mac, bus(trace, mac, halves[which].adder_input), 15);
}

static void make_adder_input(struct trace *trace, struct mac *mac, unsigned which)
{
    const struct half *half = &halves[which];
    struct mac_wires *wires = &mac->buses[half->adder_input];
    unsigned from = setting(trace, mac, half->lower_input, 2);
    if (from != LOWER_SIGN) {
        enum mac_bus source = from == LOWER_INPUT ? half->input : from == LOWER_8X8 ? half->product : half->product_16;
        *wires = *bus(trace, mac, source);
        return;
    }
    struct mac *under = which == TOP ? mac : below(trace, mac);
    node_id sign = under == NULL ? 0 : sign_of(trace, under, which == TOP ? BOTTOM : TOP);
    wires->by_bits = true;
    for (unsigned i = 0; i < 16; i++)
        wires->bits[i] = sign;
}

static node_id carry_out(struct trace *trace, struct mac *mac, unsigned which);

static node_id carry_in(struct trace *trace, struct mac *mac, unsigned which)
{
    unsigned from = setting(trace, mac, halves[which].carry_select, 2);
    if (from == CARRY_0 || from == CARRY_1)
        return from == CARRY_1;
    if (which == BOTTOM && from == CARRY_INPUT)
        return wire(trace, mac, MAC16_CI, 0);
    struct mac *under = which == TOP ? mac : below(trace, mac);
    node_id carry = under == NULL ? 0 : carry_out(trace, under, which == TOP ? BOTTOM : TOP);
    if (from == CARRY_CASCADE)
        return carry;
    return trace_gate(trace, tile_of(mac), TABLE_XOR, carry, wire(trace, mac, MAC16_ADDSUBBOT, 0), 0);
}

/* The adder of a half: its sum, or its carry. */
static node_id add(struct trace *trace, struct mac *mac, unsigned which, unsigned how)
{
    const struct half *half = &halves[which];
    enum mac_bus upper = setting(trace, mac, half->upper_input, 1) ? half->loaded : half->accumulator;
    node_id x = number_of(trace, mac, half->adder_input), w = number_of(trace, mac, upper), carry = carry_in(trace, mac, which);
    return arithmetic(trace, mac, how, x, w, wire(trace, mac, half->add_or_subtract, 0), carry);
}

static node_id carry_out(struct trace *trace, struct mac *mac, unsigned which)
{
    if (mac->carries[which] == 0)
        mac->carries[which] = add(trace, mac, which, ARITHMETIC_CARRY);
    return mac->carries[which];
}

static void make_result(struct trace *trace, struct mac *mac, unsigned which)
{
    const struct half *half = &halves[which];
    node_id sum = add(trace, mac, which, ARITHMETIC_ADD), loaded = number_of(trace, mac, half->loaded);
    mac->buses[half->result].number =
        arithmetic(trace, mac, ARITHMETIC_SELECT, sum, loaded, wire(trace, mac, half->load, 0), 0);
}

static void make(struct trace *trace, struct mac *mac, enum mac_bus which)
{
    if (which <= MAC_D)
        make_input(trace, mac, which);
    else if (which <= MAC_G)
        make_product(trace, mac, which);
    else if (which <= MAC_H_HIGH)
        make_sum(trace, mac, which);
    else if (which == MAC_X || which == MAC_Z)
        make_adder_input(trace, mac, which == MAC_X ? TOP : BOTTOM);
    else if (which == MAC_Q || which == MAC_S)
        add_accumulator(trace, mac, &mac->buses[which], &halves[which == MAC_Q ? TOP : BOTTOM]);
    else
        make_result(trace, mac, which == MAC_P ? TOP : BOTTOM);
    mac->buses[which].made = true;
}

/* One way only: nothing that is being made is asked for again, as accumulators are connected last. */
static struct mac_wires *bus(struct trace *trace, struct mac *mac, enum mac_bus which)
{
    if (!mac->buses[which].made && trace->wrong == NULL)
        make(trace, mac, which);
    return &mac->buses[which];
}

/* ---- outputs */

static void find_macs(struct trace *trace)
{
    if (trace->macs[0].cell != NULL)
        return;
    unsigned n = 0;
    for (unsigned i = 0; i < chip_n_cells && n < MACS_MAX; i++)
        if (chip_cells[i].kind == CELL_MAC16)
            trace->macs[n++].cell = &chip_cells[i];
}

/* The carry leaves through what was a logic cell, in the tile above the block. It is 0 if that cell does not pass it on
 * (https://github.com/YosysHQ/nextpnr/issues/1027). */
static node_id carry_output(struct trace *trace, struct mac *mac)
{
    const struct chip_port *at = &chip_ports[mac->cell->first_port + MAC16_CO];
    if (trace_logic_table(trace, chip_tile_at(at->x, at->y), 0) != TABLE_PASSES_2)
        return 0;
    node_id carry = carry_out(trace, mac, TOP);
    return trace_gate(trace, tile_of(mac), TABLE_XOR, carry, wire(trace, mac, MAC16_ADDSUBTOP, 0), 0);
}

static node_id output(struct trace *trace, struct mac *mac, unsigned i)
{
    const struct half *half = &halves[i / 16];
    const enum mac_bus from[4] = {
        [OUTPUT_ADDER] = half->result,
        [OUTPUT_REGISTER] = half->accumulator,
        [OUTPUT_8X8] = half->product,
        [OUTPUT_16X16] = half->product_16,
    };
    return bit(trace, mac, bus(trace, mac, from[setting(trace, mac, half->output_select, 2)]), i % 16);
}

/* Connecting one can make another, of a block below. */
static void connect_accumulators(struct trace *trace)
{
    for (unsigned round = 0; round < 2 * MACS_MAX; round++)
        for (unsigned i = 0; i < MACS_MAX; i++)
            for (unsigned which = 0; which < 2; which++)
                connect_accumulator(trace, &trace->macs[i], &halves[which]);
}

node_id trace_mac(struct trace *trace, const struct chip_cell *cell, unsigned port)
{
    find_macs(trace);
    for (unsigned i = 0; i < MACS_MAX; i++) {
        struct mac *mac = &trace->macs[i];
        if (mac->cell != cell)
            continue;
        node_id id = port == MAC16_CO ? carry_output(trace, mac) : output(trace, mac, port - MAC16_O_0);
        connect_accumulators(trace);
        return id;
    }
    return 0;
}
