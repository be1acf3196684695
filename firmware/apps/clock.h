/* How parameters carry the clock at the FPGA's pin 35: a u16, in MHz. */
#ifndef CLOCK_H
#define CLOCK_H

#include <stddef.h>
#include <stdint.h>

#include "protocol.h"

enum {
    CLOCK_NOT_SAID = 0, /* by a worker older than firmware 1.1.0 */
    CLOCK_OFF = 0xffff,
};

/* NULL, or what is wrong. */
static inline const char *clock_check(uint16_t field)
{
    switch (field) {
    case CLOCK_NOT_SAID:
    case CLOCK_OFF:
    case 6:
    case 12:
    case 24:
    case 48:
        return NULL;
    default:
        return "the clock must be 6, 12, 24 or 48 MHz, or 65535 for none";
    }
}

/* As port_clock takes it. */
static inline uint32_t clock_port_mhz(uint16_t field)
{
    if (field == CLOCK_OFF)
        return 0;
    return field == CLOCK_NOT_SAID ? CLOCK_DEFAULT_MHZ : field;
}

#endif
