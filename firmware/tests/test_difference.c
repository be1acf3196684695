/* Differences of bitstreams, in pieces of every size, sound and damaged; and the bitstreams that a board holds as their bases. */
#include "bench_port.h"
#include "crc32.h"
#include "difference.h"
#include "le.h"
#include "vectors.h"

enum { SIZE = 100 };

static uint8_t base[VECTOR_LINE], runs[VECTOR_LINE], expected[VECTOR_LINE];
static uint8_t payload[EVALUATE_MAX], frame[EVALUATE_MAX + FRAME_OVERHEAD], whole[BITSTREAM_CAPACITY];
static struct bench_frame got[BENCH_FRAMES];

/* On the heap, and as long as the bitstream, so that a byte past it is seen. */
static bool makes(size_t n_base, size_t n_runs, size_t step, const uint8_t *wanted)
{
    struct difference_decoder decoder;
    uint8_t *out = malloc(n_base);
    CHECK(out != NULL);
    memcpy(out, base, n_base);
    difference_begin(&decoder, out, n_base);
    for (size_t at = 0; at < n_runs; at += step)
        difference_feed(&decoder, runs + at, n_runs - at < step ? n_runs - at : step);
    bool right = difference_complete(&decoder) && memcmp(out, wanted, n_base) == 0;
    free(out);
    return right;
}

static void a_difference_makes_what_the_vectors_say(char **fields)
{
    size_t n_base = vector_bytes(fields[2], base), n_runs = vector_bytes(fields[3], runs);
    bool damaged = strcmp(fields[4], "damaged") == 0;
    if (!damaged)
        CHECK_EQUAL(vector_bytes(fields[4], expected), n_base);
    for (size_t step = 1; step <= n_runs + 1; step++)
        CHECK_EQUAL(makes(n_base, n_runs, step, expected), !damaged);
}

/* What is left of a damaged one is ignored, and harms nothing. */
static void a_damaged_difference_stays_damaged(void)
{
    struct difference_decoder decoder;
    uint8_t out[20] = {0};
    difference_begin(&decoder, out, sizeof out);
    difference_feed(&decoder, (const uint8_t *)"\x14\x01", 2);
    CHECK(!difference_complete(&decoder));
    for (int i = 0; i < 100; i++)
        difference_feed(&decoder, (const uint8_t *)"\x00\x03xxx", 5);
    CHECK(!difference_complete(&decoder));
    for (size_t i = 0; i < sizeof out; i++)
        CHECK_EQUAL(out[i], 0);
}

/* An EVALUATE of a bitstream of that byte alone. */
static void send_whole(struct port *bench, uint32_t id, uint8_t byte)
{
    memset(expected, byte, SIZE);
    size_t n = bench_evaluate(payload, ENCODING_RAW, SIZE, 1000, 1, expected, SIZE);
    bench_ask(bench, MSG_EVALUATE, id, payload, n);
}

/* The payload of an EVALUATE of what the EVALUATE `base_id` brought, with one other byte. */
static size_t make_difference(uint32_t base_id, uint8_t byte, uint8_t other)
{
    uint8_t fields[DIFFERENCE_FIXED + 3] = {[DIFFERENCE_FIXED] = 20, 1, other};
    memset(expected, byte, SIZE);
    expected[20] = other;
    le_put32(fields, base_id);
    le_put32(fields + 4, crc32_update(0, expected, SIZE));
    return bench_evaluate(payload, ENCODING_DIFFERENCE, SIZE, 1000, 1, fields, sizeof fields);
}

static void send_difference(struct port *bench, uint32_t id, uint32_t base_id, uint8_t byte, uint8_t other)
{
    size_t n = make_difference(base_id, byte, other);
    bench_ask(bench, MSG_EVALUATE, id, payload, n);
}

/* What was loaded last is what the difference was made for. */
static void expect_result(struct port *bench, uint32_t id)
{
    bench_expect(bench, got, 0x83, id);
    CHECK_EQUAL(bench->n_loaded, SIZE);
    CHECK(memcmp(bench->loaded, expected, SIZE) == 0);
}

static void a_difference_from_any_bitstream_that_is_held_is_loaded(void)
{
    struct port *bench = bench_new(&app_pulse_count);
    send_whole(bench, 1, 11);
    expect_result(bench, 1);
    send_difference(bench, 2, 1, 11, 99); /* in the other buffer */
    expect_result(bench, 2);
    send_difference(bench, 3, 1, 11, 98); /* in the very buffer of its base */
    expect_result(bench, 3);
    send_difference(bench, 4, 1, 11, 97); /* which is gone now */
    bench_expect_failed(bench, got, 4, FAILED_UNKNOWN_BASE);
    send_difference(bench, 5, 3, 11, 96);
    expect_result(bench, 5);
    bench_free(bench);
}

static void a_difference_without_runs_is_the_same_bitstream_again(void)
{
    struct port *bench = bench_new(&app_pulse_count);
    send_whole(bench, 1, 11);
    expect_result(bench, 1);
    size_t n = make_difference(1, 11, 11) - 3;
    bench_ask(bench, MSG_EVALUATE, 2, payload, n);
    expect_result(bench, 2);
    bench_free(bench);
}

static void a_base_may_be_waiting_or_measured(void)
{
    struct port *bench = bench_new(&app_pulse_count);
    bench->counts = false;
    send_whole(bench, 1, 11);
    CHECK_EQUAL(bench->core.phase, CORE_MEASURING);
    send_difference(bench, 2, 1, 11, 99);
    CHECK_EQUAL(bench_sent(bench, got), 0);
    bench->counts = true;
    bench_run(bench);
    CHECK_EQUAL(bench_sent(bench, got), 2);
    CHECK(got[0].type == 0x83 && got[1].type == 0x83 && got[1].id == 2);
    CHECK(memcmp(bench->loaded, expected, SIZE) == 0);
    bench_free(bench);
}

static void a_whole_bitstream_is_made_of_differences_at_full_length(void)
{
    struct port *bench = bench_new(&app_pulse_count);
    for (size_t i = 0; i < sizeof whole; i++)
        whole[i] = (uint8_t)(i * 7);
    size_t n = bench_evaluate(payload, ENCODING_RAW, sizeof whole, 1000, 1, whole, sizeof whole);
    bench_ask(bench, MSG_EVALUATE, 1, payload, n);
    bench_expect(bench, got, 0x83, 1);
    whole[sizeof whole - 1] ^= 1;
    /* A gap of 104,089 in three digits, a run of one byte. */
    uint8_t fields[DIFFERENCE_FIXED + 5] = {[DIFFERENCE_FIXED] = 0x99, 0xad, 0x06, 1, whole[sizeof whole - 1]};
    le_put32(fields, 1);
    le_put32(fields + 4, crc32_update(0, whole, sizeof whole));
    n = bench_evaluate(payload, ENCODING_DIFFERENCE, sizeof whole, 1000, 1, fields, sizeof fields);
    bench_ask(bench, MSG_EVALUATE, 2, payload, n);
    bench_expect(bench, got, 0x83, 2);
    CHECK_EQUAL(bench->n_loaded, sizeof whole);
    CHECK(memcmp(bench->loaded, whole, sizeof whole) == 0);
    bench_free(bench);
}

static void what_is_made_of_another_base_than_was_meant_is_not_loaded(void)
{
    struct port *bench = bench_new(&app_pulse_count);
    send_whole(bench, 1, 11);
    expect_result(bench, 1);
    send_difference(bench, 2, 1, 12, 99);
    bench_expect_failed(bench, got, 2, FAILED_BAD_DIFFERENCE);
    size_t n = make_difference(1, 11, 99);
    bench_ask(bench, MSG_EVALUATE, 3, payload, n - 1);
    bench_expect_failed(bench, got, 3, FAILED_BAD_DIFFERENCE);
    for (n = 0; n < DIFFERENCE_FIXED; n++) {
        make_difference(1, 11, 99);
        bench_ask(bench, MSG_EVALUATE, 4, payload, 16 + n);
        bench_expect_failed(bench, got, 4, FAILED_BAD_LENGTH);
    }
    CHECK_EQUAL(bench->loads, 1);
    send_difference(bench, 5, 1, 11, 98); /* none of that harmed the base */
    expect_result(bench, 5);
    bench_free(bench);
}

static void a_base_of_another_length_or_id_0_is_unknown(void)
{
    struct port *bench = bench_new(&app_pulse_count);
    send_difference(bench, 1, 0, 11, 99);
    bench_expect_failed(bench, got, 1, FAILED_UNKNOWN_BASE);
    send_whole(bench, 2, 11);
    expect_result(bench, 2);
    for (uint32_t i = 0; i < 2; i++) { /* in another buffer than its base's, then in that one */
        size_t n = make_difference(2, 11, 99);
        le_put32(payload + 4, SIZE - 1);
        bench_ask(bench, MSG_EVALUATE, 3, payload, n);
        bench_expect_failed(bench, got, 3, FAILED_UNKNOWN_BASE);
        send_whole(bench, 4, 12);
        expect_result(bench, 4);
    }
    bench_free(bench);
}

/* What the first frame leaves of the buffer of the oldest bitstream is no base. */
static void a_damaged_frame_takes_no_bitstream_but_that_of_its_buffer(void)
{
    struct port *bench = bench_new(&app_pulse_count);
    send_whole(bench, 1, 11);
    send_whole(bench, 2, 12);
    CHECK_EQUAL(bench_sent(bench, got), 2);
    size_t n = make_difference(1, 11, 99);
    struct frame_header header = {MSG_EVALUATE, 0, 3, (uint32_t)n};
    size_t size = frame_write(frame, &header, payload);
    frame[size - 6] ^= 1;
    bench_give(bench, frame, size);
    bench_expect(bench, got, MSG_NAK, 3);
    send_difference(bench, 4, 1, 11, 99);
    bench_expect_failed(bench, got, 4, FAILED_UNKNOWN_BASE);
    send_difference(bench, 5, 2, 12, 99);
    expect_result(bench, 5);
    bench_free(bench);
}

static void only_after_a_result_a_bitstream_is_held(void)
{
    struct port *bench = bench_new(&app_pulse_count);
    bench->load = LOAD_FAILED;
    send_whole(bench, 1, 11);
    bench_expect_failed(bench, got, 1, FAILED_CDONE);
    bench->load = LOAD_DONE;
    send_difference(bench, 2, 1, 11, 99);
    bench_expect_failed(bench, got, 2, FAILED_UNKNOWN_BASE);
    bench->counts = false;
    send_whole(bench, 3, 11);
    bench_ask(bench, MSG_CANCEL, 4, NULL, 0);
    CHECK_EQUAL(bench_sent(bench, got), 2);
    bench->counts = true;
    send_difference(bench, 5, 3, 11, 99);
    bench_expect_failed(bench, got, 5, FAILED_UNKNOWN_BASE);
    bench->counts = false;
    bench->failure = "a loop";
    send_whole(bench, 6, 11);
    bench_expect_failed(bench, got, 6, FAILED_NOT_MEASURED);
    bench->counts = true;
    bench->failure = NULL;
    send_difference(bench, 7, 6, 11, 99);
    bench_expect_failed(bench, got, 7, FAILED_UNKNOWN_BASE);
    bench_free(bench);
}

static void a_self_test_and_another_host_leave_no_base(void)
{
    struct port *bench = bench_new(&app_pulse_count);
    send_whole(bench, 1, 11);
    expect_result(bench, 1);
    bench_ask(bench, MSG_TEST, 2, NULL, 0);
    bench_expect(bench, got, 0x86, 2);
    send_difference(bench, 3, 1, 11, 99);
    bench_expect_failed(bench, got, 3, FAILED_UNKNOWN_BASE);
    send_whole(bench, 4, 11);
    expect_result(bench, 4);
    core_disconnected(&bench->core);
    send_difference(bench, 5, 4, 11, 99);
    bench_expect_failed(bench, got, 5, FAILED_UNKNOWN_BASE);
    bench_free(bench);
}

static void a_buffer_without_a_bitstream_is_taken_first(void)
{
    struct port *bench = bench_new(&app_pulse_count);
    send_whole(bench, 1, 11);
    send_whole(bench, 2, 12);
    CHECK_EQUAL(bench_sent(bench, got), 2);
    bench->load = LOAD_FAILED;
    send_whole(bench, 3, 13); /* in the place of 1, and nothing is kept */
    bench_expect_failed(bench, got, 3, FAILED_CDONE);
    bench->load = LOAD_DONE;
    send_whole(bench, 4, 14);
    expect_result(bench, 4);
    send_difference(bench, 5, 2, 12, 99);
    expect_result(bench, 5);
    bench_free(bench);
}

static void differences_may_be_split_anywhere(void)
{
    struct port *bench = bench_new(&app_pulse_count);
    send_whole(bench, 1, 11);
    expect_result(bench, 1);
    for (uint32_t step = 1; step <= 70; step++) {
        size_t n = make_difference(step, 11, 11);
        struct frame_header header = {MSG_EVALUATE, 0, step + 1, (uint32_t)n};
        size_t size = frame_write(frame, &header, payload);
        for (size_t at = 0; at < size; at += step)
            bench_give(bench, frame + at, size - at < step ? size - at : step);
        expect_result(bench, step + 1);
    }
    bench_free(bench);
}

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    CHECK(vectors_each(argv[1], "difference", a_difference_makes_what_the_vectors_say) >= 10);
    printf("ok a_difference_makes_what_the_vectors_say\n");
    RUN(a_damaged_difference_stays_damaged);
    RUN(a_difference_from_any_bitstream_that_is_held_is_loaded);
    RUN(a_difference_without_runs_is_the_same_bitstream_again);
    RUN(a_base_may_be_waiting_or_measured);
    RUN(a_whole_bitstream_is_made_of_differences_at_full_length);
    RUN(what_is_made_of_another_base_than_was_meant_is_not_loaded);
    RUN(a_base_of_another_length_or_id_0_is_unknown);
    RUN(a_damaged_frame_takes_no_bitstream_but_that_of_its_buffer);
    RUN(only_after_a_result_a_bitstream_is_held);
    RUN(a_self_test_and_another_host_leave_no_base);
    RUN(a_buffer_without_a_bitstream_is_taken_first);
    RUN(differences_may_be_split_anywhere);
    return 0;
}
