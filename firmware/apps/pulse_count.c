/* Counts rising edges on ICE_27 during windows that follow one another after each load. Layouts: docs/protocol.md. */
#include "app.h"
#include "clock.h"
#include "le.h"

enum {
    PARAMETERS_SIZE = 8,
    WINDOW_MAX_US = 60000000,
    REPEATS_MAX = 256,
    ALL_WINDOWS_MAX_US = 600000000,
    COUNT_SIZE = 8,
};

_Static_assert(REPEATS_MAX *COUNT_SIZE <= APP_RESULT_MAX, "all counts fit into one RESULT");

/* Places in app_run.words. */
enum { WINDOW, REPEATS_LEFT };

static const uint8_t pin = 27;

static const char *check(const uint8_t *parameters, size_t n)
{
    if (n != PARAMETERS_SIZE)
        return "pulse_count takes 8 bytes of parameters";
    uint32_t window_us = le_get32(parameters);
    uint16_t repeats = le_get16(parameters + 4);
    if (window_us < 1 || window_us > WINDOW_MAX_US)
        return "the window must be 1 to 60000000 microseconds";
    if (repeats < 1 || repeats > REPEATS_MAX)
        return "repeats must be 1 to 256";
    if ((uint64_t)window_us * repeats > ALL_WINDOWS_MAX_US)
        return "all windows together must not be longer than 600 seconds";
    return clock_check(le_get16(parameters + 6));
}

static uint32_t clock_mhz(const uint8_t *parameters, size_t n)
{
    (void)n;
    return clock_port_mhz(le_get16(parameters + 6));
}

static uint64_t expected_us(const uint8_t *parameters, size_t n)
{
    (void)n;
    return (uint64_t)le_get32(parameters) * le_get16(parameters + 4);
}

static void start(struct app_run *run, const uint8_t *parameters, size_t n, struct port *port)
{
    (void)n;
    run->words[WINDOW] = le_get32(parameters);
    run->words[REPEATS_LEFT] = le_get16(parameters + 4);
    port_count_start(port, &pin, 1, run->words[WINDOW]);
}

static bool poll(struct app_run *run, struct port *port)
{
    uint32_t pulses, window_us;
    while (port_count_read(port, &pulses, &window_us)) {
        le_put32(run->result + run->result_length, pulses);
        le_put32(run->result + run->result_length + 4, window_us);
        run->result_length += COUNT_SIZE;
        run->window_us += window_us;
        if (--run->words[REPEATS_LEFT] == 0)
            return true;
        port_count_start(port, &pin, 1, run->words[WINDOW]);
    }
    return false;
}

const struct app app_pulse_count = {
    .name = "pulse_count",
    .check = check,
    .clock_mhz = clock_mhz,
    .expected_us = expected_us,
    .start = start,
    .poll = poll,
};
