/* Block RAMs and SPRAMs: a memory with a read port, whose register becomes flip-flops, and a write port. Source: Lattice, "iCE40
 * Technology Library", SB_RAM40_4K and SB_SPRAM256KA. */
#include <stdlib.h>

#include "trace.h"

enum { SPRAM_DEPTH = 16384, SPRAM_ADDRESS_BITS = 14 };

/* A port of a block RAM is in its lower or its upper tile; `tile` is the lower one. */
static node_id ram_wire(struct trace *trace, unsigned tile, unsigned name, node_id undriven)
{
    bool lower = chip_net(trace->chip, tile % CHIP_WIDTH, tile / CHIP_WIDTH, name) != 0;
    return trace_wire(trace, lower ? tile : tile + CHIP_WIDTH, name, undriven);
}

static node_id ram_address(struct trace *trace, unsigned tile, unsigned name, unsigned mode)
{
    node_id in[11];
    unsigned n = 8 + mode;
    for (unsigned i = 0; i < n; i++)
        in[i] = ram_wire(trace, tile, name + i, 0);
    return trace_word(trace, tile, in, n);
}

static struct memory *add_memory(struct trace *trace, unsigned tile, uint32_t depth)
{
    struct memory *memory = &trace->netlist->memories[trace->netlist->n_memories];
    *memory = (struct memory){.tile = (uint16_t)tile, .depth = depth, .initial = calloc(depth, sizeof *memory->initial)};
    if (memory->initial == NULL) {
        trace->wrong = "there is no memory left";
        return NULL;
    }
    trace->netlist->n_memories++;
    return memory;
}

static unsigned mode_bits(const struct trace *trace, unsigned tile, unsigned low, unsigned high)
{
    return (unsigned)trace_bit(trace, tile, low) | (unsigned)trace_bit(trace, tile, high) << 1;
}

/* NegClk of the lower tile is the write port's and that of the upper tile the read port's, as nextpnr and icebox_vlog have it. */
static void add_ram(struct trace *trace, unsigned tile)
{
    unsigned upper = tile + CHIP_WIDTH;
    struct memory *memory = add_memory(trace, tile, CONFIG_RAM_WORDS);
    if (memory == NULL)
        return;
    uint32_t index = trace->netlist->n_memories - 1;
    trace->ram_of_tile[tile] = (uint8_t)(index + 1);
    for (unsigned i = 0; i < CONFIG_RAM_WORDS; i++)
        memory->initial[i] = config_ram_word(trace->config, tile % CHIP_WIDTH, tile / CHIP_WIDTH, i);
    memory->write_mode = (uint8_t)mode_bits(trace, upper, BIT_RAMT_RAMCONFIG_CBIT_0, BIT_RAMT_RAMCONFIG_CBIT_1);
    memory->read_mode = (uint8_t)mode_bits(trace, upper, BIT_RAMT_RAMCONFIG_CBIT_2, BIT_RAMT_RAMCONFIG_CBIT_3);
    memory->negative_write = trace_bit(trace, tile, BIT_RAMB_NEGCLK);
    memory->read_address = ram_address(trace, tile, NAME_RADDR, memory->read_mode);
    memory->write_address = ram_address(trace, tile, NAME_WADDR, memory->write_mode);
    memory->write_clock = ram_wire(trace, tile, NAME_WCLK, 0);
    node_id write = ram_wire(trace, tile, NAME_WE, 0), write_on = ram_wire(trace, tile, NAME_WCLKE, 1);
    memory->write_enable = trace_gate(trace, tile, TABLE_AND, write, write_on, 0);
    for (unsigned i = 0; i < 16; i++) {
        memory->data[i] = ram_wire(trace, tile, NAME_WDATA + i, 0);
        memory->keep[i] = ram_wire(trace, tile, NAME_MASK + i, 0);
    }
    node_id read = ram_wire(trace, tile, NAME_RE, 0), read_on = ram_wire(trace, tile, NAME_RCLKE, 1);
    trace->ram_enable[index] = trace_gate(trace, tile, TABLE_AND, read, read_on, 0);
    trace->ram_clock[index] = ram_wire(trace, tile, NAME_RCLK, 0);
}

static node_id memory_bit(struct trace *trace, unsigned tile, uint32_t index, unsigned bit)
{
    node_id id = trace_gate(trace, tile, (uint16_t)bit, trace->netlist->memories[index].read_address, 0, 0);
    trace->netlist->nodes[id].kind = NODE_MEMORY_BIT;
    trace->netlist->nodes[id].index = (uint16_t)index;
    return id;
}

/* Narrow outputs use every second, fourth or eighth bit alone: 0, 2, 4 ...; 1, 5, 9, 13; 3 and 11. */
static bool output_is_used(unsigned mode, unsigned bit)
{
    static const uint16_t used[4] = {0xffff, 0x5555, 0x2222, 0x0808};
    return used[mode] >> bit & 1;
}

node_id trace_ram(struct trace *trace, unsigned tile, unsigned bit)
{
    unsigned lower = tile / CHIP_WIDTH % 2 == 1 ? tile : tile - CHIP_WIDTH;
    if (trace->ram_of_tile[lower] == 0)
        add_ram(trace, lower);
    if (trace->wrong != NULL)
        return 0;
    uint32_t index = trace->ram_of_tile[lower] - 1u;
    if (!output_is_used(trace->netlist->memories[index].read_mode, bit))
        return 0;
    struct flop flop = {
        .d = memory_bit(trace, lower, index, bit),
        .clock = trace->ram_clock[index],
        .enable = trace->ram_enable[index],
        .negative = trace_bit(trace, lower + CHIP_WIDTH, BIT_RAMT_NEGCLK),
    };
    return trace_flop(trace, lower, flop);
}

/* ---- SPRAM */

static node_id spram_wire(struct trace *trace, const struct chip_cell *cell, unsigned port, node_id undriven)
{
    const struct chip_port *at = &chip_ports[cell->first_port + port];
    return trace_wire(trace, chip_tile_at(at->x, at->y), at->what, undriven);
}

/* Written in four parts of four bits. It holds 0 at first, where a real one holds anything. */
static void add_spram(struct trace *trace, const struct chip_cell *cell)
{
    unsigned tile = chip_tile_at(cell->x, cell->y);
    struct memory *memory = add_memory(trace, tile, SPRAM_DEPTH);
    if (memory == NULL)
        return;
    uint32_t index = trace->netlist->n_memories - 1;
    trace->spram_of_cell[cell->z - 1] = (uint8_t)(index + 1);
    memory->is_spram = true;
    node_id in[SPRAM_ADDRESS_BITS];
    for (unsigned i = 0; i < SPRAM_ADDRESS_BITS; i++)
        in[i] = spram_wire(trace, cell, SPRAM_ADDRESS_0 + i, 0);
    memory->read_address = memory->write_address = trace_word(trace, tile, in, SPRAM_ADDRESS_BITS);
    memory->write_clock = trace->ram_clock[index] = spram_wire(trace, cell, SPRAM_CLOCK, 0);
    node_id select = spram_wire(trace, cell, SPRAM_CHIPSELECT, 0), write = spram_wire(trace, cell, SPRAM_WREN, 0);
    memory->write_enable = trace_gate(trace, tile, TABLE_AND, select, write, 0);
    trace->ram_enable[index] = trace_gate(trace, tile, TABLE_AND_NOT, select, write, 0);
    for (unsigned part = 0; part < 4; part++) {
        node_id wanted = spram_wire(trace, cell, SPRAM_MASKWREN_0 + part, 0);
        node_id keep = trace_gate(trace, tile, (uint16_t)~TABLE_SAME, wanted, 0, 0);
        for (unsigned i = 4 * part; i < 4 * part + 4; i++) {
            memory->keep[i] = keep;
            memory->data[i] = spram_wire(trace, cell, SPRAM_DATAIN_0 + i, 0);
        }
    }
}

/* SLEEP, STANDBY and the inverted POWEROFF switch parts of it off: then what it shows is not simulated. */
static node_id while_on(struct trace *trace, const struct chip_cell *cell, node_id shown)
{
    static const uint16_t off = 0xfefe; /* of in[0], in[1], in[2]: any of them */
    unsigned tile = chip_tile_at(cell->x, cell->y);
    node_id power = trace_gate(trace, tile, (uint16_t)~TABLE_SAME, spram_wire(trace, cell, SPRAM_POWEROFF, 1), 0, 0);
    node_id sleep = spram_wire(trace, cell, SPRAM_SLEEP, 0), standby = spram_wire(trace, cell, SPRAM_STANDBY, 0);
    node_id is_off = trace_gate(trace, tile, off, power, sleep, standby);
    return trace_gate(trace, tile, TABLE_SELECT, shown, trace_unmodelled(trace, "an SPRAM that is put to sleep", tile), is_off);
}

node_id trace_spram(struct trace *trace, const struct chip_cell *cell, unsigned bit)
{
    if (trace->spram_of_cell[cell->z - 1] == 0)
        add_spram(trace, cell);
    if (trace->wrong != NULL)
        return 0;
    uint32_t index = trace->spram_of_cell[cell->z - 1] - 1u;
    unsigned tile = chip_tile_at(cell->x, cell->y);
    struct flop flop = {
        .d = memory_bit(trace, tile, index, bit),
        .clock = trace->ram_clock[index],
        .enable = trace->ram_enable[index],
    };
    return while_on(trace, cell, trace_flop(trace, tile, flop));
}
