/* A virtual iCE40UP5K that does what its bitstream says: docs/virtual-boards.md. Portable C11, no dependency. */
#ifndef ICE40_H
#define ICE40_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ICE40_TEXT = 120, ICE40_PINS_MAX = 16 };

struct decoder;
struct ice40;

struct ice40_setup {
    const uint8_t *pins; /* of the package, that are observed */
    uint32_t n_pins;
    uint32_t clock_hz; /* what pin 35 is driven with; 0: nothing */
    uint64_t work;     /* how many gates may be evaluated; 0: ICE40_WORK */
};

/* About a tenth of a second of computing, and as much again for the last part of a window once the period is found. 64 boards whose circuits all need that much wait 3 s on two processors, and a worker
 * takes a board for silent 4 s after the end of its window. */
#define ICE40_WORK ((uint64_t)8000000)

enum ice40_origin {
    ICE40_SIMULATED,    /* every rising edge was found */
    ICE40_EXTRAPOLATED, /* from those of the time that was simulated, at the same rate */
    ICE40_FAILED        /* it does not come to rest: see ice40_reason */
};

/* NULL if it cannot be simulated; then `reason` says why. The decoder (design.h) can take others then. */
struct ice40 *ice40_open(struct decoder *decoder, const uint8_t *bitstream, size_t n, const struct ice40_setup *setup,
                         char reason[ICE40_TEXT]);
void ice40_close(struct ice40 *fpga);

/* Go on to a time since the FPGA was configured. Times do not go back. */
enum ice40_origin ice40_advance(struct ice40 *fpga, double seconds);

/* Rising edges so far at the pin that setup.pins has at this index; its level. */
double ice40_pulses(const struct ice40 *fpga, uint32_t pin);
bool ice40_level(const struct ice40 *fpga, uint32_t pin);

/* Why ice40_advance failed. */
const char *ice40_reason(const struct ice40 *fpga);

/* The period of the whole state in seconds, or 0 while none was found. */
double ice40_period(const struct ice40 *fpga);

/* What it is made of (design.h). */
struct design;
const struct design *ice40_design(const struct ice40 *fpga);

#endif
