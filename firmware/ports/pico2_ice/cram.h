/* Configures the FPGA as a slave on its SPI port: FPGA-TN-02001, "iCE40 Programming and Configuration", section 13. */
#ifndef CRAM_H
#define CRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "port.h"

enum cram_phase {
    CRAM_HELD, /* in reset */
    CRAM_RESETTING,
    CRAM_CLEARING,
    CRAM_ALERTING, /* 8 clocks, deselected */
    CRAM_SENDING,
    CRAM_WAKING, /* clocks until CDONE is high, at most 100 */
    CRAM_FINISHING, /* 49 clocks, by the end of which the pins are the circuit's */
    CRAM_RUNNING,
    CRAM_FAILED,
    CRAM_STUCK,
};

struct cram {
    enum cram_phase phase;
    uint64_t until_us; /* of a phase that lasts a time */
    const uint8_t *bytes;
    size_t n;
    unsigned offset, finish_offset, dma;
    uint32_t divider; /* of the system clock, for the state machine */
    uint32_t wake_clocks; /* so far */
    bool draining;
};

/* The FPGA is held in reset. Loading takes the ADC as sampler_init leaves it, and nothing samples meanwhile. */
void cram_init(struct cram *cram);
/* `slower`: the configuration clock is divided by that; 1: as fast as may be. The bytes stay as they are until cram_poll no longer says
 * LOAD_BUSY, or cram_hold. */
void cram_start(struct cram *cram, const uint8_t *bytes, size_t n, uint32_t slower, uint64_t now_us);
enum load_state cram_poll(struct cram *cram, uint64_t now_us);
/* Give up, and hold the FPGA in reset. */
void cram_hold(struct cram *cram);

#endif
