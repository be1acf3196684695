/* A reduced netlist with what the simulation needs beside it. It is not changed once made: many runs can share it. */
#ifndef ICE40_DESIGN_H
#define ICE40_DESIGN_H

#include "netlist.h"

/* A node that clocks something: which flip-flops, and which memories' write ports, by each edge. */
struct clock {
    node_id node;
    uint64_t *flops[2];   /* bits by flip-flop; [1]: by the rising edge */
    uint64_t memories[2]; /* bits by memory */
};

struct design {
    struct netlist netlist;
    uint32_t n_gates, n_tasks; /* a task evaluates a gate or, behind all gates, a flip-flop */
    uint32_t flop_words, task_words;
    uint32_t *first_target; /* by node, then by memory, and one more: where its tasks begin in `targets` */
    uint32_t *targets;
    uint32_t n_clocks;
    struct clock *clocks;
    uint16_t *clock_of; /* by node: 1 + index of its clock, or 0 */
    uint64_t *clock_bits;
    uint64_t ticks_per_second;
    uint64_t half_periods[SOURCES_MAX]; /* ticks */
    bool both_edges[SOURCES_MAX];       /* the falling edge has an effect too */
    bool sole_d[FLOPS_MAX];             /* the gate at a flip-flop's D goes nowhere else */
};

/* What reads bitstreams, one after the other; each thread has its own. The chip's tables (chip_open) stay until decoder_close.
 * NULL if there is no memory. */
struct decoder *decoder_open(const struct chip *chip);
void decoder_close(struct decoder *decoder);

/* From now on note the ways of signals there (routes.h): those of the circuit that is decoded last. */
struct routes;
void decoder_note_routes(struct decoder *decoder, struct routes *routes);

/* Decode a bitstream as far as `pins` depend on it. Returns NULL, with a reason in `text`, if it cannot be simulated. */
struct design *design_open(struct decoder *decoder, const uint8_t *bitstream, size_t n, const uint8_t *pins, uint32_t n_pins,
                           uint32_t clock_hz, char text[NETLIST_TEXT]);
void design_close(struct design *design);

#endif
