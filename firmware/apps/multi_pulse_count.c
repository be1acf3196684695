/* Counts rising edges at several pins at once, during windows that follow one another after each load. Layouts: docs/protocol.md. */
#include <string.h>

#include "app.h"
#include "clock.h"
#include "le.h"

enum {
    FIXED_SIZE = 8, /* of the parameters, in front of the pins */
    WINDOW_MAX_US = 60000000,
    ALL_WINDOWS_MAX_US = 600000000,
    COUNT_SIZE = 4,
};

/* Places in app_run.words; the pins are bytes, from there on. */
enum { WINDOW, REPEATS_LEFT, PINS_COUNT, PINS };

_Static_assert(sizeof((struct app_run *)0)->words >= PINS * 4 + COUNTED_MAX, "all pins fit behind the other words");

/* Of the FPGA, that lead to the RP2350 on the pico2-ice; all but the configuration port and pin 35. */
static const uint8_t known[] = {9, 11, 18, 19, 20, 21, 23, 25, 26, 27};

static bool is_known(uint8_t pin)
{
    return memchr(known, pin, sizeof known) != NULL;
}

static const char *check_pins(const uint8_t *pins, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!is_known(pins[i]))
            return "a pin must be 9, 11, 18, 19, 20, 21, 23, 25, 26 or 27";
        if (memchr(pins, pins[i], i) != NULL)
            return "a pin is there twice";
    }
    return NULL;
}

static const char *check(const uint8_t *parameters, size_t n)
{
    if (n <= FIXED_SIZE || n > FIXED_SIZE + COUNTED_MAX)
        return "multi_pulse_count takes 8 bytes of parameters, and 1 to 8 pins";
    size_t pins = n - FIXED_SIZE;
    uint32_t window_us = le_get32(parameters);
    uint16_t repeats = le_get16(parameters + 4);
    if (window_us < 1 || window_us > WINDOW_MAX_US)
        return "the window must be 1 to 60000000 microseconds";
    if (repeats < 1 || repeats * (1 + pins) * COUNT_SIZE > APP_RESULT_MAX)
        return "repeats must be at least 1, and so many as fit into a result";
    if ((uint64_t)window_us * repeats > ALL_WINDOWS_MAX_US)
        return "all windows together must not be longer than 600 seconds";
    const char *wrong = check_pins(parameters + FIXED_SIZE, pins);
    return wrong != NULL ? wrong : clock_check(le_get16(parameters + 6));
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

static void count(const struct app_run *run, struct port *port)
{
    port_count_start(port, (const uint8_t *)&run->words[PINS], (uint8_t)run->words[PINS_COUNT], run->words[WINDOW]);
}

static void start(struct app_run *run, const uint8_t *parameters, size_t n, struct port *port)
{
    run->words[WINDOW] = le_get32(parameters);
    run->words[REPEATS_LEFT] = le_get16(parameters + 4);
    run->words[PINS_COUNT] = (uint32_t)(n - FIXED_SIZE);
    memcpy(&run->words[PINS], parameters + FIXED_SIZE, n - FIXED_SIZE);
    count(run, port);
}

static void put(struct app_run *run, uint32_t number)
{
    le_put32(run->result + run->result_length, number);
    run->result_length += COUNT_SIZE;
}

static bool poll(struct app_run *run, struct port *port)
{
    uint32_t pulses[COUNTED_MAX], window_us;
    while (port_count_read(port, pulses, &window_us)) {
        put(run, window_us);
        for (uint32_t i = 0; i < run->words[PINS_COUNT]; i++)
            put(run, pulses[i]);
        run->window_us += window_us;
        if (--run->words[REPEATS_LEFT] == 0)
            return true;
        count(run, port);
    }
    return false;
}

const struct app app_multi_pulse_count = {
    .name = "multi_pulse_count",
    .check = check,
    .clock_mhz = clock_mhz,
    .expected_us = expected_us,
    .start = start,
    .poll = poll,
};
