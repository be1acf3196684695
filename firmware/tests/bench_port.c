#include "bench_port.h"

#include "check.h"
#include "le.h"

uint64_t port_now_us(struct port *bench)
{
    return bench->now_us;
}

size_t port_tx(struct port *bench, const uint8_t *bytes, size_t n)
{
    size_t taken = n < bench->tx_room ? n : bench->tx_room;
    if (taken > sizeof bench->sent - bench->n_sent)
        taken = sizeof bench->sent - bench->n_sent;
    memcpy(bench->sent + bench->n_sent, bytes, taken);
    bench->n_sent += taken;
    if (bench->tx_room != SIZE_MAX)
        bench->tx_room -= taken;
    return taken;
}

void port_clock(struct port *bench, uint32_t mhz)
{
    CHECK(mhz == 0 || mhz == 6 || mhz == 12 || mhz == 24 || mhz == 48);
    bench->clock_mhz = mhz;
    bench->clocked_loads = bench->loads;
}

void port_load_start(struct port *bench, const uint8_t *bitstream, size_t n, uint8_t slower)
{
    CHECK(slower >= 1 && slower <= SLOWER_MAX);
    CHECK(n >= 1 && n <= BITSTREAM_CAPACITY);
    bench->loaded = bitstream;
    bench->n_loaded = n;
    bench->slower = slower;
    bench->loads++;
}

enum load_state port_load_state(struct port *bench)
{
    return bench->load;
}

void port_count_start(struct port *bench, const uint8_t *pins, uint8_t n, uint32_t window_us)
{
    CHECK(n >= 1 && n <= COUNTED_MAX);
    memcpy(bench->pins, pins, n);
    bench->n_pins = n;
    bench->window_us = window_us;
    bench->counting = true;
}

bool port_count_read(struct port *bench, uint32_t *pulses, uint32_t *window_us)
{
    if (!bench->counting || !bench->counts)
        return false;
    bench->counting = false;
    for (uint8_t i = 0; i < bench->n_pins; i++)
        pulses[i] = bench->pulses + bench->windows + 1000u * i;
    bench->windows++;
    *window_us = bench->window_us;
    return true;
}

void port_sample_start(struct port *bench, uint32_t delay_us, uint32_t rate_hz, uint16_t *samples, uint16_t n)
{
    bench->delay_us = delay_us;
    bench->rate_hz = rate_hz;
    bench->samples = samples;
    bench->n_samples = n;
}

bool port_sample_done(struct port *bench, uint32_t *window_us)
{
    if (bench->samples == NULL || !bench->sampled)
        return false;
    for (uint32_t i = 0; i < bench->n_samples; i++)
        bench->samples[i] = (uint16_t)(i * i);
    *window_us = 1000000u / bench->rate_hz * bench->n_samples;
    bench->samples = NULL;
    return true;
}

uint16_t port_origin(struct port *bench)
{
    return bench->origin;
}

const char *port_failure(struct port *bench)
{
    return bench->failure;
}

void port_uart_start(struct port *bench, uint32_t baud)
{
    bench->baud = baud;
}

size_t port_uart_write(struct port *bench, const uint8_t *bytes, size_t n)
{
    size_t taken = n < bench->uart_room ? n : bench->uart_room;
    CHECK(taken <= sizeof bench->taken - bench->n_taken);
    memcpy(bench->taken + bench->n_taken, bytes, taken);
    bench->n_taken += taken;
    if (bench->uart_room != SIZE_MAX)
        bench->uart_room -= taken;
    return taken;
}

size_t port_uart_read(struct port *bench, uint8_t *bytes, size_t room, uint32_t *lost)
{
    *lost = bench->n_lost;
    bench->n_lost = 0;
    size_t n = bench->n_given - bench->n_read;
    n = n < room ? n : room;
    memcpy(bytes, bench->given + bench->n_read, n);
    bench->n_read += n;
    return n;
}

void port_stop(struct port *bench)
{
    bench->samples = NULL;
    bench->baud = 0;
    bench->counting = false;
    bench->stops++;
}

int16_t port_temperature(struct port *bench)
{
    (void)bench;
    return 2731;
}

const char *port_serial(struct port *bench)
{
    (void)bench;
    return "0123456789ABCDEF";
}

void port_reboot(struct port *bench, bool to_loader)
{
    bench->reboots++;
    bench->to_loader = to_loader;
}

struct port *bench_new(const struct app *app)
{
    struct port *bench = calloc(1, sizeof *bench);
    CHECK(bench != NULL);
    bench->load = LOAD_DONE;
    bench->counts = true;
    bench->sampled = true;
    bench->uart_room = SIZE_MAX;
    bench->pulses = 2000;
    bench->tx_room = SIZE_MAX;
    core_init(&bench->core, bench, app, "1.2.3", bench->slots, 2);
    return bench;
}

void bench_free(struct port *bench)
{
    free(bench);
}

void bench_run(struct port *bench)
{
    while (core_poll(&bench->core))
        ;
}

size_t bench_give(struct port *bench, const uint8_t *bytes, size_t n)
{
    size_t used = 0;
    for (;;) {
        size_t taken = core_receive(&bench->core, bytes + used, n - used);
        bool did = core_poll(&bench->core);
        used += taken;
        if (taken == 0 && !did)
            return used;
    }
}

size_t bench_ask(struct port *bench, uint8_t type, uint32_t id, const void *payload, size_t n)
{
    uint8_t *frame = malloc(n + FRAME_OVERHEAD);
    CHECK(frame != NULL);
    struct frame_header header = {type, 0, id, (uint32_t)n};
    size_t size = frame_write(frame, &header, payload);
    size_t used = bench_give(bench, frame, size);
    free(frame);
    return used;
}

static void collect(struct frame_reader *reader, const struct frame_piece *piece, struct bench_frame *frame)
{
    if (piece->event == FRAME_HEADER) {
        frame->type = reader->header.type;
        frame->id = reader->header.id;
        frame->n = 0;
    } else if (piece->event == FRAME_BODY) {
        CHECK(frame->n + piece->n <= sizeof frame->payload);
        memcpy(frame->payload + frame->n, piece->bytes, piece->n);
        frame->n += piece->n;
    }
}

int bench_sent(struct port *bench, struct bench_frame frames[BENCH_FRAMES])
{
    struct frame_reader reader;
    struct frame_piece piece;
    int count = 0;
    size_t used = 0;
    frame_reader_init(&reader);
    while (used < bench->n_sent) {
        CHECK(count < BENCH_FRAMES);
        used += frame_read(&reader, bench->sent + used, bench->n_sent - used, &piece);
        CHECK(piece.event != FRAME_CORRUPT);
        collect(&reader, &piece, &frames[count]);
        count += piece.event == FRAME_END;
    }
    CHECK_EQUAL(reader.skipped, 0);
    CHECK(!frame_partial(&reader));
    bench->n_sent = 0;
    return count;
}

void bench_expect(struct port *bench, struct bench_frame got[BENCH_FRAMES], uint8_t type, uint32_t id)
{
    CHECK_EQUAL(bench_sent(bench, got), 1);
    CHECK_EQUAL(got[0].type, type);
    CHECK_EQUAL(got[0].id, id);
}

void bench_expect_failed(struct port *bench, struct bench_frame got[BENCH_FRAMES], uint32_t id, enum failure failure)
{
    bench_expect(bench, got, MSG_FAILED, id);
    CHECK_EQUAL(le_get16(got[0].payload), failure);
    CHECK(got[0].n > 2);
}

size_t bench_evaluate(uint8_t *out, uint8_t encoding, uint32_t length, uint32_t window_us, uint16_t repeats,
                      const uint8_t *bitstream, size_t n)
{
    out[0] = encoding;
    out[1] = 0;
    le_put16(out + 2, 8);
    le_put32(out + 4, length);
    le_put32(out + 8, window_us);
    le_put16(out + 12, repeats);
    le_put16(out + 14, 0);
    memcpy(out + 16, bitstream, n);
    return n + 16;
}
