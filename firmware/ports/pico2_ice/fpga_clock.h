/* The clock that the FPGA gets at its pin 35: exact, from the PLL of USB, which stays as it is whatever becomes of the system's clock. */
#ifndef FPGA_CLOCK_H
#define FPGA_CLOCK_H

#include <stdint.h>

struct fpga_clock {
    uint32_t mhz;
};

void fpga_clock_init(struct fpga_clock *clock, uint32_t mhz);
/* A whole part of 48 MHz; 0: nobody drives the pin. A clock that has this frequency already goes on undisturbed. */
void fpga_clock_set(struct fpga_clock *clock, uint32_t mhz);

#endif
