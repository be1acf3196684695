/* A circuit without a board: what drives its pins, what they count, and how it looks over time. */
#ifndef SIMULATE_H
#define SIMULATE_H

#include <stdint.h>

#include "ice40.h"

struct simulate_options {
    const char *file; /* a bitstream; "-": standard input */
    const char *vcd;  /* where a waveform goes, or NULL */
    bool plan; /* say where its cells are, and the ways between them */
    double window_s;
    uint32_t clock_mhz;
    uint32_t n_pins;
    uint8_t pins[ICE40_PINS_MAX];
};

/* Writes one JSON object to standard output. Returns the process's exit code: 1 if a file can't be read or written. */
int simulate(const struct simulate_options *options);

#endif
