/* An application: what a board measures. It is a table of functions and has no state but what app_run and its port hold. */
#ifndef APP_H
#define APP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "port.h"
#include "protocol.h"

enum { APP_RESULT_MAX = REPLY_MAX - RESULT_FIXED - FRAME_OVERHEAD };

struct core;

/* One measurement. The application keeps what it likes in `words` and writes its part of RESULT to `result`. */
struct app_run {
    uint32_t words[6];
    uint32_t window_us; /* how long windows have been open so far, as measured */
    size_t result_length;
    _Alignas(4) uint8_t result[APP_RESULT_MAX];
};

struct app {
    const char *name;

    /* NULL if the parameters can be measured with, else what is wrong. Without this function the application does not evaluate. */
    const char *(*check)(const uint8_t *parameters, size_t n);
    /* The clock at the FPGA's pin 35 that these parameters ask for, as port_clock takes it. NULL: CLOCK_DEFAULT_MHZ. */
    uint32_t (*clock_mhz)(const uint8_t *parameters, size_t n);
    /* How long the measurement takes, microseconds; the watchdog goes by it. */
    uint64_t (*expected_us)(const uint8_t *parameters, size_t n);
    void (*start)(struct app_run *run, const uint8_t *parameters, size_t n, struct port *port);
    /* Whether the measurement is over; called often. */
    bool (*poll)(struct app_run *run, struct port *port);

    /* An application message (or NULL: none is known). Answers with core_send; returns false if it does not know the type. */
    bool (*message)(struct core *core, uint8_t type, uint32_t id, const uint8_t *payload, size_t n);

    /* What it does of its own accord (or NULL), called often, and only while there is room to send a reply of the greatest length.
     * Returns whether anything was done. */
    bool (*idle)(struct core *core, struct port *port);
};

extern const struct app app_default;
extern const struct app app_pulse_count;
extern const struct app app_multi_pulse_count;
extern const struct app app_variance;
extern const struct app app_console;

#endif
