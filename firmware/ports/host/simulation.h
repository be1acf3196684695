/* Simulations of circuits, computed beside the boards' own thread: it never waits for one. */
#ifndef SIMULATION_H
#define SIMULATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ice40.h"
#include "protocol.h"

struct simulation;
struct ticket;

struct simulation_request {
    const uint8_t *bitstream; /* copied where it is needed */
    size_t length;
    uint32_t clock_hz;  /* at pin 35 */
    uint8_t pins[COUNTED_MAX]; /* whose pulses are counted; the first is what is sampled */
    uint8_t n_pins;
    double start, end;  /* seconds since the FPGA was configured */
    uint32_t n_samples; /* 0: count; else levels at as many times, evenly from start to end */
};

struct outcome {
    enum ice40_origin origin;
    double pulses[COUNTED_MAX];
    const uint8_t *levels;   /* of samples */
    char reason[ICE40_TEXT]; /* where origin is ICE40_FAILED */
};

/* `wake` is a file descriptor that becomes readable (eventfd) when something was computed. NULL after a message on stderr. */
struct simulation *simulation_open(int *wake);

/* Have it computed. NULL if there is no memory. */
struct ticket *simulation_begin(struct simulation *simulation, const struct simulation_request *request);

/* What came of it, or NULL while it is not computed. */
const struct outcome *simulation_outcome(struct ticket *ticket);

/* Whatever came of it is not wanted any more. */
void simulation_drop(struct ticket *ticket);

#endif
