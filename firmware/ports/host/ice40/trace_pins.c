/* IO cells: pads, and the registers between them and the fabric. Source: Lattice, "iCE Technology Library", SB_IO; IceStorm, "IO Tile". */
#include <stdio.h>

#include "trace.h"

enum { CLOCK_PIN_X = 12, CLOCK_PIN_Y = 31, CLOCK_PIN_Z = 1 };

/* PIN_TYPE: bits 0 and 1 for the input, 2 and 3 for the output, 4 and 5 for its enable. */
enum { INPUT_REGISTERED = 0, INPUT_PLAIN = 1 };
enum { OUTPUT_DDR = 0, OUTPUT_REGISTERED = 1, OUTPUT_PLAIN = 2, OUTPUT_REGISTERED_INVERTED = 3 };
enum { ENABLE_NEVER = 0, ENABLE_ALWAYS = 1, ENABLE_PLAIN = 2, ENABLE_REGISTERED = 3 };

static unsigned pin_type(const struct trace *trace, unsigned tile, unsigned z)
{
    static const uint16_t bits[2][6] = {
        {BIT_IO_IOB_0_PINTYPE_0, BIT_IO_IOB_0_PINTYPE_1, BIT_IO_IOB_0_PINTYPE_2, BIT_IO_IOB_0_PINTYPE_3, BIT_IO_IOB_0_PINTYPE_4,
         BIT_IO_IOB_0_PINTYPE_5},
        {BIT_IO_IOB_1_PINTYPE_0, BIT_IO_IOB_1_PINTYPE_1, BIT_IO_IOB_1_PINTYPE_2, BIT_IO_IOB_1_PINTYPE_3, BIT_IO_IOB_1_PINTYPE_4,
         BIT_IO_IOB_1_PINTYPE_5},
    };
    unsigned type = 0;
    for (unsigned i = 0; i < 6; i++)
        type |= (unsigned)trace_bit(trace, tile, bits[z][i]) << i;
    return type;
}

/* A register of an IO cell, clocked by `clock_name`; `second` is the one of the other edge. */
static node_id io_flop(struct trace *trace, unsigned tile, unsigned clock_name, node_id d, bool second)
{
    struct flop flop = {
        .d = d,
        .clock = trace_wire(trace, tile, clock_name, 0),
        .enable = trace_wire(trace, tile, NAME_IO_CEN, 1),
        .negative = trace_bit(trace, tile, BIT_IO_NEGCLK) != second,
    };
    return trace_flop(trace, tile, flop);
}

static node_id ddr_output(struct trace *trace, unsigned tile, unsigned z)
{
    node_id first = io_flop(trace, tile, NAME_IO_OUTCLK, trace_wire(trace, tile, NAME_D_OUT + 2 * z, 0), false);
    node_id second = io_flop(trace, tile, NAME_IO_OUTCLK, trace_wire(trace, tile, NAME_D_OUT + 2 * z + 1, 0), true);
    node_id clock = trace_wire(trace, tile, NAME_IO_OUTCLK, 0);
    bool negative = trace_bit(trace, tile, BIT_IO_NEGCLK);
    return trace_gate(trace, tile, TABLE_SELECT, negative ? first : second, negative ? second : first, clock);
}

static node_id output_level(struct trace *trace, unsigned tile, unsigned z, unsigned how)
{
    if (how == OUTPUT_DDR)
        return ddr_output(trace, tile, z);
    node_id level = trace_wire(trace, tile, NAME_D_OUT + 2 * z, 0);
    if (how == OUTPUT_PLAIN)
        return level;
    node_id flop = io_flop(trace, tile, NAME_IO_OUTCLK, level, false);
    return how == OUTPUT_REGISTERED ? flop : trace_gate(trace, tile, (uint16_t)~TABLE_SAME, flop, 0, 0);
}

static bool pulled_up(const struct trace *trace, unsigned x, unsigned y, unsigned z)
{
    for (unsigned i = 0; i < chip_n_enables; i++) {
        const struct chip_enable *known = &chip_enables[i];
        if (known->x != x || known->y != y || known->z != z)
            continue;
        unsigned tile = chip_tile_at(known->enable_x, known->enable_y);
        return !trace_bit(trace, tile, known->enable_z == 0 ? BIT_IO_IOCTRL_REN_0 : BIT_IO_IOCTRL_REN_1);
    }
    return false;
}

/* What the board does at a pad that the FPGA leaves alone. */
static node_id outside_level(struct trace *trace, unsigned tile, unsigned z)
{
    unsigned x = tile % CHIP_WIDTH, y = tile / CHIP_WIDTH;
    if (x == CLOCK_PIN_X && y == CLOCK_PIN_Y && z == CLOCK_PIN_Z && trace->clock_hz > 0) {
        struct source clock = {.numerator = trace->clock_hz, .denominator = 1};
        snprintf(clock.text, sizeof clock.text, "pin 35");
        return trace_source(trace, clock);
    }
    return pulled_up(trace, x, y, z);
}

static node_id cell_wire(struct trace *trace, const struct chip_port *port)
{
    return trace_wire(trace, chip_tile_at(port->x, port->y), port->what, 0);
}

static bool any_setting(const struct trace *trace, const struct chip_port *ports, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (trace_bit(trace, chip_tile_at(ports[i].x, ports[i].y), ports[i].what & (unsigned)~CHIP_BIT))
            return true;
    return false;
}

/* Where the LED driver has taken a pad: it sinks a current, so the pad is 0, or it sinks none and the LED pulls the pad up. */
static bool led_level(struct trace *trace, const struct chip_port *ports, unsigned tile, unsigned z, node_id *level)
{
    enum { TABLE_NOT_ALL = 0x7f7f, CURRENT_BITS = 6 };
    static const struct {
        uint8_t pad, pulse, current;
    } leds[] = {
        {RGBA_DRV_RGB0, RGBA_DRV_RGB0PWM, RGBA_DRV_RGB0_CURRENT_0},
        {RGBA_DRV_RGB1, RGBA_DRV_RGB1PWM, RGBA_DRV_RGB1_CURRENT_0},
        {RGBA_DRV_RGB2, RGBA_DRV_RGB2PWM, RGBA_DRV_RGB2_CURRENT_0},
    };
    for (unsigned i = 0; i < 3; i++) {
        if (tile != chip_tile_at(ports[leds[i].pad].x, ports[leds[i].pad].y) || z != 0)
            continue;
        *level = 1;
        if (any_setting(trace, &ports[leds[i].current], CURRENT_BITS))
            *level = trace_gate(trace, tile, TABLE_NOT_ALL, cell_wire(trace, &ports[RGBA_DRV_CURREN]),
                                cell_wire(trace, &ports[RGBA_DRV_RGBLEDEN]), cell_wire(trace, &ports[leds[i].pulse]));
        return true;
    }
    return false;
}

static bool led_drives(struct trace *trace, unsigned tile, unsigned z, node_id *level)
{
    for (unsigned i = 0; i < chip_n_cells; i++) {
        if (chip_cells[i].kind != CELL_RGBA_DRV)
            continue;
        const struct chip_port *ports = &chip_ports[chip_cells[i].first_port];
        return any_setting(trace, &ports[RGBA_DRV_RGBA_DRV_EN], 1) && led_level(trace, ports, tile, z, level);
    }
    return false;
}

node_id trace_pad(struct trace *trace, unsigned tile, unsigned z)
{
    node_id led;
    if (led_drives(trace, tile, z, &led))
        return led;
    unsigned type = pin_type(trace, tile, z), how = type >> 4;
    if (how == ENABLE_NEVER)
        return outside_level(trace, tile, z);
    node_id level = output_level(trace, tile, z, type >> 2 & 3);
    if (how == ENABLE_ALWAYS)
        return level;
    node_id enable = trace_wire(trace, tile, NAME_OUT_ENB + z, 1);
    if (how == ENABLE_REGISTERED)
        enable = io_flop(trace, tile, NAME_IO_OUTCLK, enable, false);
    return trace_gate(trace, tile, TABLE_SELECT, outside_level(trace, tile, z), level, enable);
}

node_id trace_pin_input(struct trace *trace, unsigned tile, unsigned z, unsigned which)
{
    node_id output;
    if (which == 0 && trace_pll(trace, tile, z, &output))
        return output;
    node_id pad = trace_cell(trace, tile, MADE_PAD + z);
    unsigned how = pin_type(trace, tile, z) & 3;
    if (which == 1)
        return io_flop(trace, tile, NAME_IO_INCLK, pad, true);
    if (how == INPUT_PLAIN)
        return pad;
    if (how == INPUT_REGISTERED)
        return io_flop(trace, tile, NAME_IO_INCLK, pad, false);
    return trace_unmodelled(trace, "a latch in a pin's input", tile);
}
