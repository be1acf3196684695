/* The port: what the core asks of a board's hardware. Times are those of the virtual hardware, see board_duration. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "board.h"
#include "crc32.h"
#include "hash.h"

/* A bitstream has its preamble near its start (iCE40 TN1248; a comment may come first). */
static bool has_preamble(const uint8_t *bitstream, size_t n)
{
    static const uint8_t preamble[] = {0x7e, 0xaa, 0x99, 0x7e};
    enum { WITHIN = 1024 };
    return memmem(bitstream, n < WITHIN ? n : WITHIN, preamble, sizeof preamble) != NULL;
}

uint64_t port_now_us(struct port *b)
{
    return (b->fpga.waiting_since > 0 ? b->fpga.waiting_since : clock_us()) - b->booted_us;
}

void port_clock(struct port *b, uint32_t mhz)
{
    b->fpga.clock_mhz = mhz;
}

/* As long as a real board takes: clearing, and 8 bits a byte at 25 MHz. */
static uint64_t load_us(size_t n, uint8_t slower)
{
    return CLEAR_US + (uint64_t)n * 8 * slower / CRAM_MHZ;
}

/* Time goes on for the board, from where it stood. */
static void stop_waiting(struct port *b)
{
    struct fpga *fpga = &b->fpga;
    if (fpga->waiting_since > 0)
        b->booted_us += clock_us() - fpga->waiting_since;
    fpga->waiting_since = 0;
    simulation_drop(fpga->ticket);
    fpga->ticket = NULL;
}

void port_load_start(struct port *b, const uint8_t *bitstream, size_t n, uint8_t slower)
{
    stop_waiting(b);
    b->fpga.bitstream = bitstream;
    b->fpga.length = n;
    b->fpga.hz = -1; /* not yet known */
    b->fpga.takes_it = !b->faults.cdone && has_preamble(bitstream, n);
    b->fpga.load_end_us = clock_us() + board_duration(b, load_us(n, slower));
    b->fpga.counting = b->fpga.sampling = false;
    b->fpga.reached = 0;
    b->fpga.origin = ORIGIN_MEASURED;
    b->fpga.failure[0] = '\0';
    uart_close(&b->fpga.uart);
}

enum load_state port_load_state(struct port *b)
{
    if (clock_us() < b->fpga.load_end_us)
        return LOAD_BUSY;
    return b->fpga.takes_it ? LOAD_DONE : LOAD_FAILED;
}

/* The windows before this one count. */
static struct fpga_window this_window(const struct port *b)
{
    const struct fpga *fpga = &b->fpga;
    return (struct fpga_window){
        .bitstream = fpga->bitstream,
        .length = fpga->length,
        .serial = b->serial,
        .window_us = fpga->window_us,
        .sequence = fpga->windows,
        .clock_mhz = fpga->clock_mhz,
        .pin = MODEL_PIN,
        .days = fpga->began_days,
        .temperature_c = model_temperature(b->serial, fpga->began_days),
    };
}

static double days_now(const struct port *b)
{
    static const double US_PER_DAY = 86400e6;
    return (double)(clock_us() - b->bench->started_us) / US_PER_DAY;
}

static struct fpga_window begin_window(struct port *b)
{
    struct fpga *fpga = &b->fpga;
    fpga->windows++;
    return this_window(b);
}

/* Have the circuit simulated from where it is, for so long; `delay_us` passes first, and n_samples are taken then or none. */
static void begin_simulation(struct port *b, uint32_t delay_us, uint32_t n_samples)
{
    struct fpga *fpga = &b->fpga;
    if (b->bench->simulation == NULL)
        return;
    struct fpga_window window = this_window(b);
    window.sequence++;
    double pace = model_pace(b->bench->model, &window);
    struct simulation_request request = {
        .bitstream = fpga->bitstream,
        .length = fpga->length,
        .clock_hz = fpga->clock_mhz * 1000000,
        .n_pins = fpga->n_counted,
        .start = fpga->reached + delay_us / 1e6 * pace,
        .n_samples = n_samples,
    };
    memcpy(request.pins, fpga->counted, fpga->n_counted);
    request.end = fpga->reaching = request.start + fpga->window_us / 1e6 * pace;
    fpga->ticket = simulation_begin(b->bench->simulation, &request);
}

static void note_origin(struct fpga *fpga, uint16_t origin)
{
    fpga->origin = origin > fpga->origin ? origin : fpga->origin;
}

/* What the simulation gave; NULL while the board has to wait for it, and where the circuit cannot be simulated: then port_failure
 * says why, unless the landscape stands in, for which `*by_landscape` is set. */
static const struct outcome *take_outcome(struct port *b, bool *by_landscape)
{
    struct fpga *fpga = &b->fpga;
    *by_landscape = b->bench->simulation == NULL;
    if (*by_landscape || fpga->failure[0] != '\0')
        return NULL;
    const struct outcome *outcome = fpga->ticket != NULL ? simulation_outcome(fpga->ticket) : NULL;
    if (outcome == NULL && fpga->ticket != NULL) {
        if (fpga->waiting_since == 0)
            fpga->waiting_since = fpga->count_end_us;
        return NULL;
    }
    if (outcome != NULL && outcome->origin != ICE40_FAILED)
        return outcome;
    *by_landscape = model_falls_back(b->bench->model);
    if (!*by_landscape)
        snprintf(fpga->failure, sizeof fpga->failure, "the circuit can't be simulated: %s",
                 outcome != NULL ? outcome->reason : "there is no memory left");
    return NULL;
}

static void end_simulation(struct port *b, const struct outcome *outcome)
{
    struct fpga *fpga = &b->fpga;
    if (outcome == NULL)
        note_origin(fpga, ORIGIN_LANDSCAPE);
    else
        note_origin(fpga, outcome->origin == ICE40_SIMULATED ? ORIGIN_SIMULATED : ORIGIN_EXTRAPOLATED);
    fpga->reached = fpga->reaching;
    stop_waiting(b);
}

/* The landscape's frequency; a bitstream's at pin 27 is worked out once. */
static double landscape_hz(struct port *b, uint8_t pin)
{
    struct fpga *fpga = &b->fpga;
    if (pin != MODEL_PIN)
        return model_frequency(b->bench->model, fpga->bitstream, fpga->length, pin);
    if (fpga->hz < 0)
        fpga->hz = model_frequency(b->bench->model, fpga->bitstream, fpga->length, pin);
    return fpga->hz;
}

/* The gate is the virtual hardware's and exact; its length is true in real time, but for --speed. */
void port_count_start(struct port *b, const uint8_t *pins, uint8_t n, uint32_t window_us)
{
    memcpy(b->fpga.counted, pins, n);
    b->fpga.n_counted = n;
    b->fpga.window_us = window_us;
    b->fpga.count_end_us = clock_us() + (uint64_t)((double)window_us * b->bench->scale);
    b->fpga.counting = true;
    b->fpga.began_days = days_now(b);
    begin_simulation(b, 0, 0);
}

bool port_count_read(struct port *b, uint32_t *pulses, uint32_t *window_us)
{
    struct fpga *fpga = &b->fpga;
    bool by_landscape;
    if (!fpga->counting || b->faults.stuck || clock_us() < fpga->count_end_us)
        return false;
    const struct outcome *outcome = take_outcome(b, &by_landscape);
    if (outcome == NULL && !by_landscape)
        return false;
    fpga->counting = false;
    struct fpga_window window = begin_window(b);
    for (uint8_t i = 0; i < fpga->n_counted; i++) {
        window.pin = fpga->counted[i];
        pulses[i] = outcome != NULL ? model_whole(outcome->pulses[i])
                                    : model_pulses(b->bench->model, landscape_hz(b, window.pin), &window);
    }
    *window_us = fpga->window_us;
    end_simulation(b, outcome);
    return true;
}

void port_sample_start(struct port *b, uint32_t delay_us, uint32_t rate_hz, uint16_t *samples, uint16_t n)
{
    struct fpga *fpga = &b->fpga;
    fpga->counted[0] = MODEL_PIN; /* the analog input is wired to it */
    fpga->n_counted = 1;
    fpga->samples = samples;
    fpga->n_samples = n;
    fpga->rate_hz = rate_hz;
    fpga->window_us = (uint32_t)((uint64_t)n * 1000000 / rate_hz);
    fpga->count_end_us = clock_us() + (uint64_t)(((double)delay_us + fpga->window_us) * b->bench->scale);
    fpga->sampling = true;
    fpga->began_days = days_now(b);
    begin_simulation(b, delay_us, n);
}

bool port_sample_done(struct port *b, uint32_t *window_us)
{
    struct fpga *fpga = &b->fpga;
    bool by_landscape;
    if (!fpga->sampling || b->faults.stuck || clock_us() < fpga->count_end_us)
        return false;
    const struct outcome *outcome = take_outcome(b, &by_landscape);
    if (outcome == NULL && !by_landscape)
        return false;
    fpga->sampling = false;
    struct fpga_window window = begin_window(b);
    if (outcome != NULL)
        model_levels(b->bench->model, &window, outcome->levels, fpga->samples, fpga->n_samples);
    else
        model_samples(b->bench->model, landscape_hz(b, MODEL_PIN), &window, fpga->rate_hz, fpga->samples, fpga->n_samples);
    *window_us = fpga->window_us;
    end_simulation(b, outcome);
    return true;
}

uint16_t port_origin(struct port *b)
{
    return b->fpga.origin;
}

const char *port_failure(struct port *b)
{
    return b->fpga.failure[0] != '\0' ? b->fpga.failure : NULL;
}

void port_uart_start(struct port *b, uint32_t baud)
{
    (void)baud; /* bytes take no time */
    uart_open(&b->fpga.uart, crc32_update(0, b->fpga.bitstream, b->fpga.length));
}

size_t port_uart_write(struct port *b, const uint8_t *bytes, size_t n)
{
    return uart_write(&b->fpga.uart, bytes, n);
}

size_t port_uart_read(struct port *b, uint8_t *bytes, size_t room, uint32_t *lost)
{
    *lost = 0; /* the virtual FPGA waits for its reader */
    return uart_read(&b->fpga.uart, bytes, room);
}

void port_stop(struct port *b)
{
    b->fpga.counting = b->fpga.sampling = false;
    b->fpga.failure[0] = '\0';
    stop_waiting(b);
    uart_close(&b->fpga.uart);
    b->fpga.load_end_us = 0;
}

int16_t port_temperature(struct port *b)
{
    return (int16_t)lrint(100 * model_temperature(b->serial, days_now(b)));
}

const char *port_serial(struct port *b)
{
    return b->serial;
}

size_t port_tx(struct port *b, const uint8_t *bytes, size_t n)
{
    uint8_t garbled[CORE_TX_SIZE];
    if (b->faults.silent || b->place != BOARD_APPLICATION)
        return n;
    bool spoil = b->faults.garbled > 0 && (b->writes + 1) % b->faults.garbled == 0;
    if (spoil) {
        uint64_t where = hash_mix(b->writes);
        memcpy(garbled, bytes, n);
        garbled[where % n] ^= (uint8_t)(1u << (where >> 32) % 8);
        bytes = garbled;
    }
    ssize_t sent = write(b->fd, bytes, n);
    if (sent <= 0)
        return 0;
    b->writes++;
    return (size_t)sent;
}

void port_reboot(struct port *b, bool to_loader)
{
    b->to_loader = to_loader;
    b->place = BOARD_LEAVING;
    b->at_us = clock_us() + LEAVE_US;
}
