/* Samples the analog pin after each load, and sums up how much neighbouring samples differ. Layouts: docs/protocol.md. */
#include "app.h"
#include "le.h"

enum {
    PARAMETERS_SIZE = 12,
    DELAY_MAX_US = 10000000,
    RATE_MIN_HZ = 100, /* so that all windows stay short */
    RATE_MAX_HZ = 100000,
    SAMPLES_MAX = 2000,
    WITH_WAVEFORM = 1,
    HEAD_SIZE = 8,
};

_Static_assert(HEAD_SIZE + 2 * SAMPLES_MAX <= APP_RESULT_MAX, "all samples fit into one RESULT");

/* Places in app_run.words. */
enum { SAMPLES, FLAGS };

static const char *check(const uint8_t *parameters, size_t n)
{
    if (n != PARAMETERS_SIZE)
        return "variance takes 12 bytes of parameters";
    uint32_t rate_hz = le_get32(parameters + 4);
    uint16_t samples = le_get16(parameters + 8);
    if (le_get32(parameters) > DELAY_MAX_US)
        return "the delay must be at most 10000000 microseconds";
    if (rate_hz < RATE_MIN_HZ || rate_hz > RATE_MAX_HZ)
        return "the rate must be 100 to 100000 samples a second";
    if (samples < 2 || samples > SAMPLES_MAX)
        return "there must be 2 to 2000 samples";
    return le_get16(parameters + 10) <= WITH_WAVEFORM ? 0 : "the flags must be 0 or 1";
}

static uint64_t expected_us(const uint8_t *parameters, size_t n)
{
    (void)n;
    return le_get32(parameters) + (uint64_t)le_get16(parameters + 8) * 1000000 / le_get32(parameters + 4);
}

/* Where the port puts the samples: behind the head, so that they are in place when they are asked for. */
static uint16_t *samples_of(struct app_run *run)
{
    return (uint16_t *)(void *)(run->result + HEAD_SIZE);
}

static void start(struct app_run *run, const uint8_t *parameters, size_t n, struct port *port)
{
    (void)n;
    run->words[SAMPLES] = le_get16(parameters + 8);
    run->words[FLAGS] = le_get16(parameters + 10);
    port_sample_start(port, le_get32(parameters), le_get32(parameters + 4), samples_of(run), (uint16_t)run->words[SAMPLES]);
}

static uint32_t differences(const uint16_t *samples, size_t n)
{
    uint32_t sum = 0;
    for (size_t i = 1; i < n; i++)
        sum += (uint32_t)(samples[i] > samples[i - 1] ? samples[i] - samples[i - 1] : samples[i - 1] - samples[i]);
    return sum;
}

static bool poll(struct app_run *run, struct port *port)
{
    if (!port_sample_done(port, &run->window_us))
        return false;
    const uint16_t *samples = samples_of(run);
    size_t n = run->words[SAMPLES];
    bool waveform = run->words[FLAGS] == WITH_WAVEFORM;
    le_put32(run->result, differences(samples, n));
    le_put16(run->result + 4, (uint16_t)n);
    le_put16(run->result + 6, waveform ? (uint16_t)n : 0);
    run->result_length = HEAD_SIZE;
    for (size_t i = 0; waveform && i < n; i++) {
        le_put16(run->result + run->result_length, samples[i]); /* in place, but for the order of its bytes */
        run->result_length += 2;
    }
    return true;
}

const struct app app_variance = {
    .name = "variance",
    .check = check,
    .expected_us = expected_us,
    .start = start,
    .poll = poll,
};
