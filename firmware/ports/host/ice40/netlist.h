/* What a configuration makes of the FPGA, as far as the observed pins depend on it: gates, flip-flops, memories, clocks. */
#ifndef ICE40_NETLIST_H
#define ICE40_NETLIST_H

#include <stdbool.h>
#include <stdint.h>

#include "chipdb.h"
#include "config.h"

enum {
    NODES_MAX = 40000,
    FLOPS_MAX = 8192,
    MEMORIES_MAX = 34, /* 30 block RAMs, 4 SPRAMs */
    SOURCES_MAX = 8,
    PINS_MAX = 16,
    WORD_BITS = 16,
    MACS_MAX = 8,
    WORDS_MAX = 2 * MEMORIES_MAX + 32 * MACS_MAX,
    NETLIST_TEXT = 120,
};

/* A node is a wire with whatever drives it. Nodes 0 and 1 are constant. */
typedef uint32_t node_id;

enum node_kind {
    NODE_CONSTANT,
    NODE_SOURCE,     /* a clock; `index` of its struct source */
    NODE_FLOP,       /* `index` of its struct flop */
    NODE_GATE,       /* a function of up to four nodes */
    NODE_WORD,    /* a number from the nodes of a struct word, `index` */
    NODE_MEMORY_BIT, /* bit `table` of what memory `index` has at the address in[0] */
    NODE_NUMBER,     /* `table`, always */
    NODE_ARITHMETIC, /* what `table` (arithmetic.h) makes of numbers and bits */
    NODE_WORD_BIT,   /* bit `table` of the number in[0] */
    NODE_UNMODELLED, /* nothing that is simulated; its text is unmodelled[index] */
    NODE_PENDING,    /* while the netlist is made: a cell whose inputs were not yet looked at */
    NODE_SAME,       /* while the netlist is made: the same as in[0] */
};

struct node {
    uint8_t kind;
    uint8_t name;  /* of the output in its tile: a chip_name, or one of enum made_name */
    uint16_t tile; /* y * CHIP_WIDTH + x */
    uint16_t table; /* of a gate: bit n is its value where the inputs, in[0] lowest, make n */
    uint16_t index;
    node_id in[4];
};

/* Outputs of cells that have no wire, or that are made while tracing. */
enum made_name { MADE_LOCK = CHIP_OUTPUT_LOCK, MADE_PAD, MADE_PAD_1, MADE_NAMES, MADE_GATE = 255 };

struct source {
    uint64_t numerator, denominator; /* hertz */
    char text[48];
};

struct flop {
    node_id node, d, clock, enable, reset;
    bool negative;     /* clocked by the falling edge */
    bool set;          /* what `reset` makes of it */
    bool asynchronous; /* `reset` needs no clock */
};

struct word {
    uint8_t n;
    node_id in[WORD_BITS];
};

struct memory {
    uint16_t tile;
    bool is_spram;
    uint8_t read_mode, write_mode; /* 0 to 3: 16, 8, 4, 2 bits wide */
    uint32_t depth; /* words of 16 bits */
    uint16_t *initial;
    bool negative_write;
    bool written; /* its write port can ever write */
    node_id read_address, write_address, write_clock, write_enable;
    node_id data[16], keep[16]; /* a bit whose `keep` is 1 is not written */
};

struct netlist {
    uint32_t n_nodes, n_flops, n_words, n_memories, n_sources, n_unmodelled, n_pins;
    struct node *nodes;
    struct flop *flops;
    struct word *words;
    struct memory memories[MEMORIES_MAX];
    struct source sources[SOURCES_MAX];
    char unmodelled[16][NETLIST_TEXT];
    node_id pins[PINS_MAX];
    /* Once reduced: nodes are the two constants, sources, flip-flops, and then the rest, which the order of nodes sorts. */
    node_id first_flop, first_gate;
};

struct routes;

/* Room for any circuit, which tracing uses again and again. */
struct trace_room {
    struct node nodes[NODES_MAX];
    struct flop flops[FLOPS_MAX];
    struct word words[WORDS_MAX];
    node_id cells[CHIP_TILES * MADE_NAMES]; /* nodes by tile and name of the output; 0: not yet met. All 0 between circuits */
};

/* Pins are those of the package (27: ICE_27). `clock_hz` is what pin 35 is driven with; 0: nothing. Returns NULL, or what is wrong.
 * What the netlist has stays in the room until it is reduced. `routes` can be NULL. */
const char *netlist_trace(struct netlist *netlist, const struct chip *chip, struct config *config, struct trace_room *room,
                          struct routes *routes, const uint8_t *pins, uint32_t n_pins, uint32_t clock_hz);

/* Put constants through, leave out what is without effect, and sort: each node comes after those it depends on, but for flip-flops.
 * Returns NULL, and what the netlist has is its own; or why it cannot be simulated: a loop, or something that is not modelled. The
 * text is in `text` then. */
const char *netlist_reduce(struct netlist *netlist, char text[NETLIST_TEXT]);

void netlist_free(struct netlist *netlist);

/* Gates by what they do. */
enum {
    TABLE_SAME = 0xaaaa,
    TABLE_AND = 0x8888,
    TABLE_CARRY = 0xe8e8,      /* of three */
    TABLE_SELECT = 0xcaca,     /* in[2] ? in[1] : in[0] */
    TABLE_AND_NOT = 0x2222,    /* in[0] and not in[1] */
    TABLE_XOR = 0x6666,
};

#endif
