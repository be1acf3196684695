/* Counts pulses of the FPGA in PIO, during a window that PIO holds open. */
#ifndef COUNTER_H
#define COUNTER_H

#include <stdbool.h>
#include <stdint.h>

struct counter {
    unsigned counter_offset, window_offset;
    uint32_t window_us;
    bool counting;
};

void counter_init(struct counter *counter);
void counter_start(struct counter *counter, uint32_t window_us);
/* Whether the window is over; then also its pulses and its length, which is that of the crystal's cycles that it lasted. */
bool counter_read(struct counter *counter, uint32_t *pulses, uint32_t *window_us);
void counter_stop(struct counter *counter);

#endif
