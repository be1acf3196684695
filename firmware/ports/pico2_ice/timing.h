/* Arithmetic of clocks and of the thermometer: no hardware, so that all of it is tested on the PC. */
#ifndef TIMING_H
#define TIMING_H

#include <stdbool.h>
#include <stdint.h>

enum {
    CRAM_HZ_MAX = 25000000, /* FPGA-TN-02001, iCE40 UltraPlus: configuration clock of a slave */
    CRAM_CYCLES = 6, /* of a PIO state machine, for each bit: cram.pio */
    WINDOW_TICK_HZ = 2000000, /* of the state machine that holds the window open */
    PACER_CYCLES = 4, /* what the loop of sampler.pio takes besides waiting */
};

/* Whole, since a fractional one has some cycles that are too short; the clock comes out at CRAM_HZ_MAX or below. */
uint32_t timing_cram_divider(uint32_t sys_hz);

/* Of the window's state machine; 0 if the system clock is no multiple of its ticks. */
uint32_t timing_window_divider(uint32_t sys_hz);

/* What the window's state machine is given so that its flag is set for exactly that long; window_us from 1 to 60,000,000. */
uint32_t timing_window_ticks(uint32_t window_us);

/* Cycles of the system clock from one sample to the next, to the nearest. */
uint32_t timing_sample_cycles(uint32_t sys_hz, uint32_t rate_hz);

/* Cycles of the system clock; at most 10,000,000 microseconds. */
uint32_t timing_delay_cycles(uint32_t sys_hz, uint32_t delay_us);

/* How long n samples take, microseconds, to the nearest. */
uint32_t timing_samples_us(uint32_t sys_hz, uint32_t cycles, uint16_t n);

/* Hundredths of a degree Celsius, of a reading of the sensor by the 12-bit ADC with 3.3 V as reference (RP2350 datasheet,
 * section 12.4.6). */
int16_t timing_temperature(uint16_t reading);

#endif
