/* Sends a board many frames, most of them damaged, in any split, with pauses and a host that sometimes does not read.
 *
 *     mutate FRAMES SEED      the same frames each time
 *     (with -DLIBFUZZER)      coverage-guided: bytes are given as they are
 *
 * After each run a sound request must be answered: no bytes may wedge a board. Sanitizers see the rest. */
#include "bench_port.h"
#include "check.h"
#include "crc32.h"
#include "le.h"

static struct bench_frame got[BENCH_FRAMES];

/* Whatever came before: after the gap and the watchdog's time a board answers. */
static const struct app *const apps[] = {&app_pulse_count, &app_variance, &app_console, &app_multi_pulse_count};
enum { APPS = sizeof apps / sizeof *apps };
static size_t app; /* the one that runs */
static unsigned refused, evaluations[APPS], watchdogs;

static void restart(struct port *bench, size_t next)
{
    refused += bench->core.refused;
    evaluations[app] += bench->core.evaluations;
    watchdogs += bench->core.watchdogs;
    app = next % APPS;
    core_init(&bench->core, bench, apps[app], "1.2.3", bench->slots, 2);
    bench->reboots = 0;
}

static void must_answer(struct port *bench)
{
    static const uint64_t LONGER_THAN_ANY_EVALUATION = 700ull * 1000 * 1000;
    bench->tx_room = SIZE_MAX;
    bench->load = LOAD_DONE;
    bench->counts = bench->sampled = true;
    bench->n_read = bench->n_given;
    bench->n_lost = 0;
    bench_run(bench);
    bench->n_sent = 0; /* the test itself may have cut a reply */
    for (int i = 0; i < 4; i++) {
        bench->now_us += LONGER_THAN_ANY_EVALUATION;
        bench_run(bench);
        bench_sent(bench, got);
    }
    if (bench->reboots > 0)
        restart(bench, app + 1);
    bench_ask(bench, MSG_HELLO, 424242, NULL, 0);
    int n = bench_sent(bench, got);
    CHECK_EQUAL(got[0].id, 424242);
    CHECK(n >= 1 && n <= 1 + LOG_LINES);
    for (int i = 1; i < n; i++)
        CHECK_EQUAL(got[i].type, MSG_LOG);
}

#ifdef LIBFUZZER

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    app = n > 0 ? bytes[n - 1] % APPS : 0;
    struct port *bench = bench_new(apps[app]);
    bench_give(bench, bytes, n);
    must_answer(bench);
    bench_free(bench);
    return 0;
}

#else

enum { GREATEST_BITSTREAM = 2000 };

static uint64_t state;

static uint32_t draw(uint32_t below)
{
    state ^= state << 13; /* xorshift64 (Marsaglia 2003) */
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 32) % below;
}

/* An LZ4 block of literals alone. */
static size_t wrap(uint8_t *out, const uint8_t *bytes, size_t n)
{
    size_t at = 0;
    out[at++] = n >= 15 ? 0xf0 : (uint8_t)(n << 4);
    for (size_t left = n >= 15 ? n - 15 : 0; n >= 15; left -= 255) {
        out[at++] = left >= 255 ? 255 : (uint8_t)left;
        if (left < 255)
            break;
    }
    memcpy(out + at, bytes, n);
    return at + n;
}

static uint16_t make_parameters(uint8_t *parameters)
{
    static const uint8_t pins[] = {9, 11, 18, 19, 20, 21, 23, 25, 26, 27, 35};
    if (apps[app] == &app_multi_pulse_count) {
        uint16_t n = (uint16_t)(draw(20) == 0 ? draw(10) : 1 + draw(3));
        le_put32(parameters, 1 + draw(100000));
        le_put16(parameters + 4, (uint16_t)(1 + draw(draw(4) == 0 ? 600 : 100)));
        le_put16(parameters + 6, (uint16_t)(draw(4) == 0 ? draw(50) : 12));
        for (uint16_t i = 0; i < n; i++)
            parameters[8 + i] = pins[draw(sizeof pins)];
        return (uint16_t)(8 + n);
    }
    le_put32(parameters, draw(apps[app] == &app_variance ? 1000 : 4000000)); /* variance: delay; console: baud */
    le_put32(parameters + 4, 100 + draw(100000));
    le_put16(parameters + 8, (uint16_t)(2 + draw(2100)));
    le_put16(parameters + 10, (uint16_t)draw(3));
    le_put16(parameters + 12, (uint16_t)draw(5));
    le_put16(parameters + 14, (uint16_t)(draw(4) == 0 ? draw(50) : 0xffff));
    if (apps[app] == &app_variance)
        return draw(2) == 0 ? 14 : 16;
    return 4;
}

/* Put the parameters of the application that runs into an EVALUATE that has those of pulse_count. */
static size_t with_parameters(uint8_t *out, size_t n)
{
    uint8_t parameters[18];
    if (apps[app] == &app_pulse_count)
        return n;
    uint16_t size = make_parameters(parameters);
    memmove(out + 8 + size, out + 16, n - 16);
    memcpy(out + 8, parameters, size);
    le_put16(out + 2, size);
    return n - 8 + size;
}

/* The difference from what a buffer may hold: sound if it does, but for some; in its place too if the buffer is the next one. */
static size_t make_difference(const struct port *bench, uint8_t *out)
{
    enum { RUNS = 5, RUN = 40 };
    static uint8_t result[BITSTREAM_CAPACITY], fields[DIFFERENCE_FIXED + RUNS * (6 + RUN)];
    const struct slot *base = &bench->slots[draw(2)];
    uint32_t length = draw(10) != 0 ? base->length : draw(BITSTREAM_CAPACITY + 10), at = 0;
    size_t n = DIFFERENCE_FIXED;
    memcpy(result, base->bitstream, sizeof result);
    for (uint32_t runs = draw(RUNS + 1); runs > 0; runs--) {
        uint32_t gap = draw(50) != 0 ? draw(400) : draw(1u << 21), run = draw(50) != 0 ? 1 + draw(RUN) : 0;
        fields[n++] = (uint8_t)(0x80 | gap);
        fields[n++] = (uint8_t)(0x80 | gap >> 7);
        fields[n++] = (uint8_t)(gap >> 14);
        fields[n++] = (uint8_t)run;
        at += gap;
        for (uint32_t i = 0; i < run; i++, at++, n++) {
            fields[n] = (uint8_t)draw(256);
            if (at < sizeof result)
                result[at] = fields[n];
        }
    }
    le_put32(fields, draw(10) != 0 ? base->held : draw(8));
    le_put32(fields + 4, draw(10) != 0 && length <= sizeof result ? crc32_update(0, result, length) : draw(UINT32_MAX));
    return bench_evaluate(out, ENCODING_DIFFERENCE, length, 1 + draw(100000), (uint16_t)(1 + draw(40)), fields, n);
}

static size_t make_evaluate(const struct port *bench, uint8_t *out)
{
    if (draw(3) == 0)
        return with_parameters(out, make_difference(bench, out));
    uint8_t bitstream[GREATEST_BITSTREAM], block[GREATEST_BITSTREAM + 16];
    size_t n = 1 + draw(sizeof bitstream);
    for (size_t i = 0; i < n; i++)
        bitstream[i] = draw(3) != 0 ? 0 : (uint8_t)draw(256);
    uint32_t length = draw(4) != 0 ? (uint32_t)n : draw(BITSTREAM_CAPACITY + 10);
    uint32_t window_us = 1 + draw(100000);
    uint16_t repeats = (uint16_t)draw(300);
    if (draw(2) == 0)
        n = bench_evaluate(out, ENCODING_LZ4, length, window_us, repeats, block, wrap(block, bitstream, n));
    else
        n = bench_evaluate(out, (uint8_t)draw(4), length, window_us, repeats, bitstream, n);
    return with_parameters(out, n);
}

static size_t make_frame(const struct port *bench, uint8_t *out)
{
    static const uint8_t types[] = {MSG_HELLO,  MSG_STATUS, MSG_EVALUATE, MSG_EVALUATE, MSG_EVALUATE,
                                    MSG_CANCEL, MSG_TEST,   0x40,         0x85};
    uint8_t *payload = out + FRAME_HEADER_SIZE;
    struct frame_header header = {types[draw(sizeof types)], 0, draw(8), 0};
    if (draw(500) == 0)
        header.type = MSG_REBOOT;
    if (header.type == MSG_EVALUATE)
        header.length = (uint32_t)make_evaluate(bench, payload);
    else
        for (header.length = 0; draw(10) != 0; header.length++)
            payload[header.length] = (uint8_t)draw(256);
    return frame_write(out, &header, payload);
}

/* With a header that is sound again, so that the damage is seen by what comes after it. */
static void mend_header(uint8_t *frame)
{
    le_put32(frame + 12, crc32_update(0, frame, 12));
}

static size_t damage(uint8_t *frame, size_t n)
{
    switch (draw(12)) {
    case 0:
        frame[draw((uint32_t)n)] ^= (uint8_t)(1u << draw(8));
        return n;
    case 1:
        for (int i = 0; i < 8; i++)
            frame[draw((uint32_t)n)] = (uint8_t)draw(256);
        return n;
    case 2:
        return draw((uint32_t)n);
    case 3:
        le_put32(frame + 8, draw(4) == 0 ? draw(UINT32_MAX) : draw(3000));
        mend_header(frame);
        return n;
    case 4:
        frame[2] = (uint8_t)draw(256);
        mend_header(frame);
        return n;
    case 5:
        memmove(frame, frame + 1, n - 1);
        return n - 1;
    default:
        return n;
    }
}

static void disturb(struct port *bench)
{
    bench->tx_room = draw(8) == 0 ? draw(100) : SIZE_MAX;
    if (draw(10) == 0)
        bench->counts = draw(3) != 0;
    bench->load = draw(8) == 0 ? LOAD_FAILED : draw(8) == 0 ? LOAD_BUSY : draw(30) == 0 ? LOAD_STUCK : LOAD_DONE;
    bench->now_us += draw(20) == 0 ? 3000000 : draw(2000);
    if (draw(200) == 0)
        core_disconnected(&bench->core);
    if (bench->n_sent > BENCH_SENT / 2)
        bench->n_sent = 0;
    bench->sampled = draw(3) != 0;
    bench->uart_room = draw(4) == 0 ? draw(10) : SIZE_MAX;
    bench->n_taken = bench->n_read = 0;
    bench->n_given = draw(20) == 0 ? draw(BENCH_UART) : 0;
    bench->n_lost = draw(40) == 0 ? draw(100000) : 0;
}

static void give_in_pieces(struct port *bench, const uint8_t *frame, size_t n)
{
    size_t step = 1 + draw(draw(4) == 0 ? 20 : 2000);
    for (size_t at = 0; at < n; at += step)
        bench_give(bench, frame + at, n - at < step ? n - at : step);
}

int main(int argc, char **argv)
{
    static uint8_t frame[GREATEST_BITSTREAM + REQUEST_MAX];
    CHECK(argc == 3);
    long frames = atol(argv[1]);
    state = 0x9e3779b97f4a7c15u ^ strtoull(argv[2], NULL, 10);
    struct port *bench = bench_new(&app_pulse_count);
    for (long i = 1; i <= frames; i++) {
        disturb(bench);
        give_in_pieces(bench, frame, damage(frame, make_frame(bench, frame)));
        if (i % 100 == 0)
            must_answer(bench);
        if (i % 1000 == 0)
            restart(bench, app + 1);
    }
    restart(bench, 0);
    printf("ok %ld frames, of which %u were refused, %u + %u + %u + %u evaluations, %u ended by the watchdog\n", frames,
           refused, evaluations[0], evaluations[1], evaluations[2], evaluations[3], watchdogs);
    for (size_t i = 0; i < APPS; i++)
        CHECK(evaluations[i] > 0);
    bench_free(bench);
    return 0;
}

#endif
