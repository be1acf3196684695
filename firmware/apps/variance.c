/* Samples the analog pin after each load, once or several times, and sums up how much neighbouring samples differ. Layouts:
 * docs/protocol.md. */
#include "app.h"
#include "clock.h"
#include "le.h"

enum {
    PARAMETERS_SIZE = 16,
    WITHOUT_CLOCK = 14, /* from a worker older than firmware 1.1.0 */
    DELAY_MAX_US = 10000000,
    RATE_MIN_HZ = 100, /* so that all windows stay short */
    RATE_MAX_HZ = 100000,
    SAMPLES_MAX = 2000,
    REPEATS_MAX = 256,
    WITH_WAVEFORM = 1,
    HEAD_SIZE = 8,
    /* Where samples lie that are not sent, behind the heads: its greatest length, made even. */
    RESULT_END = APP_RESULT_MAX & ~1,
};

_Static_assert(HEAD_SIZE + 2 * SAMPLES_MAX <= APP_RESULT_MAX, "all samples fit into one RESULT");

/* Places in app_run.words. */
enum { SAMPLES, FLAGS, RATE, REPEATS_LEFT };

/* How much of the result repeats take, with the samples of the last one. */
static uint32_t space(uint32_t samples, uint32_t flags, uint32_t repeats)
{
    return flags == WITH_WAVEFORM ? repeats * (HEAD_SIZE + 2 * samples) : repeats * HEAD_SIZE + 2 * samples;
}

static uint16_t clock_field(const uint8_t *parameters, size_t n)
{
    return n < PARAMETERS_SIZE ? CLOCK_NOT_SAID : le_get16(parameters + 14);
}

static const char *check(const uint8_t *parameters, size_t n)
{
    if (n != PARAMETERS_SIZE && n != WITHOUT_CLOCK)
        return "variance takes 16 bytes of parameters";
    uint32_t rate_hz = le_get32(parameters + 4);
    uint16_t samples = le_get16(parameters + 8);
    uint16_t flags = le_get16(parameters + 10);
    uint16_t repeats = le_get16(parameters + 12);
    if (le_get32(parameters) > DELAY_MAX_US)
        return "the delay must be at most 10000000 microseconds";
    if (rate_hz < RATE_MIN_HZ || rate_hz > RATE_MAX_HZ)
        return "the rate must be 100 to 100000 samples a second";
    if (samples < 2 || samples > SAMPLES_MAX)
        return "there must be 2 to 2000 samples";
    if (flags > WITH_WAVEFORM)
        return "the flags must be 0 or 1";
    if (repeats < 1 || repeats > REPEATS_MAX)
        return "repeats must be 1 to 256";
    if (space(samples, flags, repeats) > RESULT_END)
        return "so many samples and repeats do not fit into a result";
    return clock_check(clock_field(parameters, n));
}

static uint32_t clock_mhz(const uint8_t *parameters, size_t n)
{
    return clock_port_mhz(clock_field(parameters, n));
}

static uint64_t expected_us(const uint8_t *parameters, size_t n)
{
    (void)n;
    uint64_t samples = (uint64_t)le_get16(parameters + 8) * le_get16(parameters + 12);
    return le_get32(parameters) + samples * 1000000 / le_get32(parameters + 4);
}

/* Where the port puts the samples: in their place, behind their head, or at the end of the result where they are not sent. */
static uint16_t *samples_of(struct app_run *run)
{
    size_t place = run->words[FLAGS] == WITH_WAVEFORM ? run->result_length + HEAD_SIZE : RESULT_END - 2 * run->words[SAMPLES];
    return (uint16_t *)(void *)(run->result + place);
}

static void start(struct app_run *run, const uint8_t *parameters, size_t n, struct port *port)
{
    (void)n;
    run->words[SAMPLES] = le_get16(parameters + 8);
    run->words[FLAGS] = le_get16(parameters + 10);
    run->words[RATE] = le_get32(parameters + 4);
    run->words[REPEATS_LEFT] = le_get16(parameters + 12);
    port_sample_start(port, le_get32(parameters), run->words[RATE], samples_of(run), (uint16_t)run->words[SAMPLES]);
}

static uint32_t differences(const uint16_t *samples, size_t n)
{
    uint32_t sum = 0;
    for (size_t i = 1; i < n; i++)
        sum += (uint32_t)(samples[i] > samples[i - 1] ? samples[i] - samples[i - 1] : samples[i - 1] - samples[i]);
    return sum;
}

/* The head of one repeat, and its samples where they are sent. */
static void put(struct app_run *run, const uint16_t *samples)
{
    size_t n = run->words[SAMPLES];
    size_t following = run->words[FLAGS] == WITH_WAVEFORM ? n : 0;
    uint8_t *head = run->result + run->result_length;
    le_put32(head, differences(samples, n));
    le_put16(head + 4, (uint16_t)n);
    le_put16(head + 6, (uint16_t)following);
    for (size_t i = 0; i < following; i++)
        le_put16(head + HEAD_SIZE + 2 * i, samples[i]); /* in place, but for the order of its bytes */
    run->result_length += HEAD_SIZE + 2 * following;
}

static bool poll(struct app_run *run, struct port *port)
{
    uint32_t window_us;
    while (port_sample_done(port, &window_us)) {
        run->window_us += window_us;
        put(run, samples_of(run));
        if (--run->words[REPEATS_LEFT] == 0)
            return true;
        port_sample_start(port, 0, run->words[RATE], samples_of(run), (uint16_t)run->words[SAMPLES]);
    }
    return false;
}

const struct app app_variance = {
    .name = "variance",
    .check = check,
    .clock_mhz = clock_mhz,
    .expected_us = expected_us,
    .start = start,
    .poll = poll,
};
