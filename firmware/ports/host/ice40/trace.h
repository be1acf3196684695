/* Parts of tracing that several files share: trace.c, trace_pins.c, trace_clocks.c, trace_memories.c, trace_mac.c. */
#ifndef ICE40_TRACE_H
#define ICE40_TRACE_H

#include "netlist.h"
#include "routes.h"

/* The wires of a DSP block, trace_mac.c. */
enum mac_bus {
    MAC_A,
    MAC_B,
    MAC_C,
    MAC_D,
    MAC_F,
    MAC_J,
    MAC_K,
    MAC_G,
    MAC_H_LOW,
    MAC_H_HIGH,
    MAC_X,
    MAC_Z,
    MAC_Q,
    MAC_S,
    MAC_P,
    MAC_R,
    MAC_BUSES,
};

/* Sixteen wires: as bits, from which a number is made, or as a number, from which bits are taken. */
struct mac_wires {
    bool made, by_bits, unconnected;
    node_id bits[16], bytes[2], number; /* 0: not made yet */
};

struct mac {
    const struct chip_cell *cell;
    struct mac_wires buses[MAC_BUSES];
    node_id carries[2]; /* of the lower and the upper adder */
};

struct trace {
    struct netlist *netlist;
    const struct chip *chip;
    struct config *config;
    uint32_t clock_hz;
    const char *wrong; /* the first thing that stops the tracing, or NULL */
    struct trace_room *room;
    node_id source_nodes[SOURCES_MAX];
    struct routes *routes; /* where ways are noted, or NULL */
    bool in_reference; /* the PLL's clock is being looked for */
    uint8_t ram_of_tile[CHIP_TILES];   /* 1 + index of a block RAM's memory, by its lower tile */
    uint8_t spram_of_cell[4];          /* the same for SPRAMs, by z - 1 */
    struct mac macs[MACS_MAX];
    node_id ram_enable[MEMORIES_MAX], ram_clock[MEMORIES_MAX]; /* of the read port */
};

/* The node of a cell's output; its inputs are followed later. */
node_id trace_cell(struct trace *trace, unsigned tile, unsigned name);

/* Follow a cell's inputs now, if that was not done yet. */
void trace_finish(struct trace *trace, node_id id);

/* The node that drives a wire; `undriven` (a constant) where nothing does. */
node_id trace_wire(struct trace *trace, unsigned tile, unsigned name, node_id undriven);
bool trace_is_driven(const struct trace *trace, unsigned tile, unsigned name);
uint16_t trace_logic_table(const struct trace *trace, unsigned tile, unsigned cell);
bool trace_bit(const struct trace *trace, unsigned tile, unsigned bit);

node_id trace_gate(struct trace *trace, unsigned tile, uint16_t table, node_id a, node_id b, node_id c);
node_id trace_word(struct trace *trace, unsigned tile, const node_id *in, unsigned n);
node_id trace_flop(struct trace *trace, unsigned tile, struct flop flop);
node_id trace_source(struct trace *trace, struct source source);
node_id trace_unmodelled(struct trace *trace, const char *what, unsigned tile);
const struct chip_cell *trace_cell_with_port(unsigned tile, unsigned name, int *port);

/* Whether a gate's table depends on one of its inputs. */
bool table_depends(uint16_t table, unsigned input);

/* trace_pins.c: the level of a pad, and what a pin hands inside. */
node_id trace_pad(struct trace *trace, unsigned tile, unsigned z);
node_id trace_pin_input(struct trace *trace, unsigned tile, unsigned z, unsigned which);

/* trace_clocks.c */
node_id trace_global(struct trace *trace, unsigned number);
node_id trace_oscillator(struct trace *trace, const struct chip_cell *cell);
/* What the PLL makes of a pin's input, or false if it leaves the pin alone. */
bool trace_pll(struct trace *trace, unsigned tile, unsigned z, node_id *output);

/* trace_memories.c: bit `bit` of the output of a memory. */
node_id trace_ram(struct trace *trace, unsigned tile, unsigned bit);
node_id trace_spram(struct trace *trace, const struct chip_cell *cell, unsigned bit);

/* trace_mac.c: an output of a DSP block. */
node_id trace_mac(struct trace *trace, const struct chip_cell *cell, unsigned port);

#endif
