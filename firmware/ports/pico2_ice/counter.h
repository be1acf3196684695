/* Counts pulses of the FPGA in PIO, at up to eight pins, during a window that PIO holds open. */
#ifndef COUNTER_H
#define COUNTER_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol.h"

struct counter {
    unsigned offsets[COUNTED_MAX]; /* of the program, for each of the state machines that count */
    unsigned window_offset;
    uint32_t window_us;
    uint8_t pins[COUNTED_MAX]; /* of the RP2350 */
    uint8_t n;
    bool counting;
};

void counter_init(struct counter *counter);
/* Pins of the FPGA, of those that lead here. */
void counter_start(struct counter *counter, const uint8_t *fpga_pins, uint8_t n, uint32_t window_us);
/* Whether the window is over; then also the pulses at each pin and its length, which is that of the crystal's cycles that it lasted. */
bool counter_read(struct counter *counter, uint32_t *pulses, uint32_t *window_us);
void counter_stop(struct counter *counter);

/* The pin of the RP2350 that a pin of the FPGA leads to, for those that can be counted. */
uint8_t counter_pin(uint8_t fpga_pin);

#endif
