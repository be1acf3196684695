/* The board's side of the protocol: what it answers, what it refuses, and what it does while it measures. */
#include "bench_port.h"
#include "check.h"
#include "crc32.h"
#include "le.h"

static uint8_t bitstream[BITSTREAM_CAPACITY], payload[EVALUATE_MAX + 1000];
static struct bench_frame got[BENCH_FRAMES];

/* An EVALUATE of a whole raw bitstream with a 1 ms window. */
static size_t evaluate(struct port *bench, uint32_t id)
{
    size_t n = bench_evaluate(payload, ENCODING_RAW, sizeof bitstream, 1000, 1, bitstream, sizeof bitstream);
    return bench_ask(bench, MSG_EVALUATE, id, payload, n);
}

static void expect_nak(struct port *bench, uint32_t id, enum nak nak)
{
    bench_expect(bench, got, MSG_NAK, id);
    CHECK_EQUAL(got[0].payload[0], nak);
}

static void hello_says_who_the_board_is(void)
{
    struct port *bench = bench_new(&app_pulse_count);
    bench_ask(bench, MSG_HELLO, 5, NULL, 0);
    bench_expect(bench, got, 0x81, 5);
    CHECK_EQUAL(got[0].payload[0], 1);
    CHECK_EQUAL(got[0].payload[1], 2);
    CHECK_EQUAL(le_get32(got[0].payload + 4), EVALUATE_MAX);
    CHECK_EQUAL(le_get32(got[0].payload + 8), BITSTREAM_CAPACITY);
    CHECK(memcmp(got[0].payload + 12,
                 "0123456789ABCDEF\x0bpulse_count\x05"
                 "1.2.3",
                 34) == 0);
    CHECK_EQUAL(got[0].n, 46);
    bench_free(bench);
}

static void a_board_answers_with_the_greatest_version_that_both_speak(void)
{
    static const uint8_t said[] = {0, 1, 2, 3, 255}, answered[] = {1, 1, 2, 2, 2};
    struct port *bench = bench_new(&app_pulse_count);
    for (uint32_t i = 0; i < sizeof said; i++) {
        bench_ask(bench, MSG_HELLO, i + 1, &said[i], 1);
        bench_expect(bench, got, 0x81, i + 1);
        CHECK_EQUAL(got[0].payload[0], answered[i]);
        CHECK_EQUAL(got[0].n, 46);
    }
    bench_free(bench);
}

static void status_counts_frames_refusals_and_evaluations(void)
{
    struct port *bench = bench_new(&app_pulse_count);
    evaluate(bench, 1);
    struct frame_header header = {MSG_TEST, 0, 2, 3};
    size_t n = frame_write(payload, &header, (const uint8_t *)"abc");
    payload[17] ^= 1;
    bench_give(bench, (const uint8_t *)"noise", 5);
    bench_give(bench, payload, n);
    bench->n_sent = 0;
    bench->now_us = 77;
    bench_ask(bench, MSG_STATUS, 3, NULL, 0);
    bench_expect(bench, got, 0x82, 3);
    CHECK_EQUAL(got[0].n, 32);
    CHECK_EQUAL(le_get32(got[0].payload), 77);
    CHECK_EQUAL(le_get16(got[0].payload + 8), 2731);
    CHECK_EQUAL(got[0].payload[10], 2);
    CHECK_EQUAL(got[0].payload[11], 0);
    CHECK_EQUAL(le_get32(got[0].payload + 12), 2);
    CHECK_EQUAL(le_get32(got[0].payload + 16), 1);
    CHECK_EQUAL(le_get32(got[0].payload + 20), 5);
    CHECK_EQUAL(le_get32(got[0].payload + 24), 1);
    bench_free(bench);
}

static void an_evaluation_loads_the_bitstream_and_answers_with_every_window(void)
{
    struct port *bench = bench_new(&app_pulse_count);
    for (size_t i = 0; i < sizeof bitstream; i++)
        bitstream[i] = (uint8_t)(i * 7);
    size_t n = bench_evaluate(payload, ENCODING_RAW, sizeof bitstream, 1000, 3, bitstream, sizeof bitstream);
    bench_ask(bench, MSG_EVALUATE, 9, payload, n);
    bench_expect(bench, got, 0x83, 9);
    CHECK_EQUAL(bench->n_loaded, sizeof bitstream);
    CHECK(memcmp(bench->loaded, bitstream, sizeof bitstream) == 0);
    CHECK_EQUAL(le_get32(got[0].payload), 1);
    CHECK_EQUAL(le_get32(got[0].payload + 16), 3000);
    CHECK_EQUAL(got[0].n, RESULT_FIXED + 3 * 8);
    for (uint32_t i = 0; i < 3; i++) {
        CHECK_EQUAL(le_get32(got[0].payload + RESULT_FIXED + 8 * i), 2000 + i);
        CHECK_EQUAL(le_get32(got[0].payload + RESULT_FIXED + 8 * i + 4), 1000);
    }
    bench_free(bench);
}

static void a_result_says_how_it_came_to_be(void)
{
    struct port *bench = bench_new(&app_pulse_count);
    size_t n = bench_evaluate(payload, ENCODING_RAW, 8, 1, 1, bitstream, 8);
    bench_ask(bench, MSG_EVALUATE, 1, payload, n);
    bench_expect(bench, got, 0x83, 1);
    CHECK_EQUAL(le_get16(got[0].payload + 26), ORIGIN_MEASURED);
    bench->origin = ORIGIN_EXTRAPOLATED;
    bench_ask(bench, MSG_EVALUATE, 2, payload, n);
    bench_expect(bench, got, 0x83, 2);
    CHECK_EQUAL(le_get16(got[0].payload + 26), ORIGIN_EXTRAPOLATED);
    bench_free(bench);
}

static void a_circuit_that_cannot_be_measured_is_refused_and_the_next_one_measured(void)
{
    struct port *bench = bench_new(&app_pulse_count);
    size_t n = bench_evaluate(payload, ENCODING_RAW, 8, 1, 1, bitstream, 8);
    bench->counts = false;
    bench->failure = "a loop";
    bench_ask(bench, MSG_EVALUATE, 1, payload, n);
    bench_expect_failed(bench, got, 1, FAILED_NOT_MEASURED);
    CHECK(memcmp(got[0].payload + 2, "a loop", 6) == 0);
    bench->counts = true;
    bench->failure = NULL;
    bench_ask(bench, MSG_EVALUATE, 2, payload, n);
    bench_expect(bench, got, 0x83, 2);
    CHECK_EQUAL(bench->core.watchdogs, 0);
    bench_free(bench);
}

static void the_greatest_number_of_windows_fits_into_one_result(void)
{
    struct port *bench = bench_new(&app_pulse_count);
    size_t n = bench_evaluate(payload, ENCODING_RAW, 8, 1, 256, bitstream, 8);
    bench_ask(bench, MSG_EVALUATE, 9, payload, n);
    bench_expect(bench, got, 0x83, 9);
    CHECK_EQUAL(got[0].n, RESULT_FIXED + 256 * 8);
    bench_free(bench);
}

static void an_lz4_bitstream_is_loaded_decoded(void)
{
    /* 10 literals, then 104,080 times the last of them: 15 + 4 + 408 * 255 + 21. */
    uint8_t block[600] = {0xaf, 0x7e, 0xaa, 0x99, 0x7e, 1, 2, 3, 4, 5, 6, 1, 0};
    size_t n_block = 13;
    memset(block + n_block, 255, 408);
    n_block += 408;
    block[n_block++] = 104080 - 19 - 408 * 255 - 5;
    block[n_block++] = 0x50;
    memset(block + n_block, 6, 5);
    n_block += 5;
    struct port *bench = bench_new(&app_pulse_count);
    size_t n = bench_evaluate(payload, ENCODING_LZ4, BITSTREAM_CAPACITY, 1000, 1, block, n_block);
    bench_ask(bench, MSG_EVALUATE, 1, payload, n);
    bench_expect(bench, got, 0x83, 1);
    CHECK_EQUAL(bench->n_loaded, BITSTREAM_CAPACITY);
    for (size_t i = 10; i < BITSTREAM_CAPACITY; i++)
        CHECK_EQUAL(bench->loaded[i], 6);
    bench_ask(bench, MSG_EVALUATE, 2, payload, n - 1);
    bench_expect_failed(bench, got, 2, FAILED_BAD_LZ4);
    bench_free(bench);
}

static void requests_that_do_not_fit_together_fail_with_a_reason(void)
{
    static const struct {
        size_t place, size;
        uint32_t value;
        enum failure failure;
    } wrong[] = {
        {0, 1, 3, FAILED_BAD_ENCODING},      {2, 2, 257, FAILED_BAD_LENGTH},          {2, 2, 9, FAILED_BAD_LENGTH},
        {4, 4, 0, FAILED_BAD_LENGTH},        {4, 4, 104091, FAILED_BAD_LENGTH},       {4, 4, 15, FAILED_BAD_LENGTH},
        {8, 4, 0, FAILED_BAD_PARAMETERS},    {8, 4, 60000001, FAILED_BAD_PARAMETERS}, {12, 2, 0, FAILED_BAD_PARAMETERS},
        {12, 2, 257, FAILED_BAD_PARAMETERS}, {14, 2, 1, FAILED_BAD_PARAMETERS},       {1, 1, 17, FAILED_BAD_PARAMETERS},
    };
    struct port *bench = bench_new(&app_pulse_count);
    for (uint32_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        size_t n = bench_evaluate(payload, ENCODING_RAW, 16, 1000, 1, bitstream, 16);
        for (size_t k = 0; k < wrong[i].size; k++)
            payload[wrong[i].place + k] = (uint8_t)(wrong[i].value >> 8 * k);
        bench_ask(bench, MSG_EVALUATE, i + 1, payload, n);
        bench_expect_failed(bench, got, i + 1, wrong[i].failure);
    }
    for (uint32_t n = 0; n <= 16; n++) {
        bench_evaluate(payload, ENCODING_RAW, 16, 1000, 1, bitstream, 16);
        bench_ask(bench, MSG_EVALUATE, 100 + n, payload, n);
        bench_expect_failed(bench, got, 100 + n, FAILED_BAD_LENGTH);
    }
    CHECK_EQUAL(bench->loads, 0);
    evaluate(bench, 1000);
    bench_expect(bench, got, 0x83, 1000);
    bench_free(bench);
}

static void a_load_is_as_much_slower_as_is_asked_for(void)
{
    static const uint8_t asked[] = {0, 1, 2, 16}, got_by_port[] = {1, 1, 2, 16};
    struct port *bench = bench_new(&app_pulse_count);
    for (uint32_t i = 0; i < 4; i++) {
        size_t n = bench_evaluate(payload, ENCODING_RAW, 16, 1000, 1, bitstream, 16);
        payload[1] = asked[i];
        bench_ask(bench, MSG_EVALUATE, i + 1, payload, n);
        bench_expect(bench, got, 0x83, i + 1);
        CHECK_EQUAL(bench->slower, got_by_port[i]);
    }
    bench_free(bench);
}

static void all_windows_together_have_a_limit(void)
{
    struct port *bench = bench_new(&app_pulse_count);
    size_t n = bench_evaluate(payload, ENCODING_RAW, 8, 60000000, 11, bitstream, 8);
    bench_ask(bench, MSG_EVALUATE, 1, payload, n);
    bench_expect_failed(bench, got, 1, FAILED_BAD_PARAMETERS);
    bench_free(bench);
}

static void the_default_application_measures_nothing_with_parameters(void)
{
    struct port *bench = bench_new(&app_default);
    evaluate(bench, 1);
    bench_expect_failed(bench, got, 1, FAILED_BAD_PARAMETERS);
    CHECK_EQUAL(bench->loads, 0);
    bench_free(bench);
}

static void an_application_without_a_check_evaluates_nothing(void)
{
    static const struct app silent = {.name = "silent"};
    struct port *bench = bench_new(&silent);
    evaluate(bench, 1);
    bench_expect_failed(bench, got, 1, FAILED_NOT_SUPPORTED);
    CHECK_EQUAL(bench->loads, 0);
    bench_free(bench);
}

static void a_self_test_passes_and_echoes(void)
{
    struct port *bench = bench_new(&app_default);
    bench_ask(bench, MSG_TEST, 1, bitstream, REQUEST_MAX);
    bench_expect(bench, got, 0x86, 1);
    CHECK_EQUAL(le_get32(got[0].payload), 0);
    CHECK_EQUAL(got[0].n, 4 + REQUEST_MAX);
    CHECK(memcmp(got[0].payload + 4, bitstream, REQUEST_MAX) == 0);
    bench_free(bench);
}

static void a_self_test_leaves_waiting_bitstreams_alone(void)
{
    struct port *bench = bench_new(&app_pulse_count);
    bench->counts = false;
    memset(bitstream, 0x33, sizeof bitstream);
    evaluate(bench, 1);
    evaluate(bench, 2);
    bench_ask(bench, MSG_TEST, 3, NULL, 0);
    bench_expect(bench, got, 0x86, 3);
    for (int i = 0; i < 2; i++)
        CHECK(memcmp(bench->slots[i].bitstream, bitstream, sizeof bitstream) == 0);
    bench_free(bench);
}

static void unknown_requests_and_messages_are_answered(void)
{
    struct port *bench = bench_new(&app_default);
    static const uint8_t types[] = {0x00, 0x07, 0x3f, 0x40, 0x7f, 0x81, 0xff};
    for (size_t i = 0; i < sizeof types; i++) {
        bench_ask(bench, types[i], 1, "x", 1);
        bench_expect_failed(bench, got, 1, FAILED_NOT_SUPPORTED);
    }
    bench_free(bench);
}

static bool reply_twice(struct core *core, uint8_t type, uint32_t id, const uint8_t *bytes, size_t n)
{
    return type == 0x41 && core_send(core, (uint8_t)(type | MSG_REPLY), id, bytes, n) && core_send(core, 0xc5, 0, bytes, 1);
}

static void application_messages_go_both_ways(void)
{
    static const struct app chatty = {.name = "chatty", .message = reply_twice};
    struct port *bench = bench_new(&chatty);
    bench_ask(bench, 0x41, 6, "hey", 3);
    CHECK_EQUAL(bench_sent(bench, got), 2);
    CHECK(got[0].type == 0xc1 && got[0].id == 6 && got[0].n == 3 && memcmp(got[0].payload, "hey", 3) == 0);
    CHECK(got[1].type == 0xc5 && got[1].id == 0);
    bench_ask(bench, 0x42, 7, NULL, 0);
    bench_expect_failed(bench, got, 7, FAILED_NOT_SUPPORTED);
    bench_free(bench);
}

static void the_next_bitstream_is_received_while_one_is_measured(void)
{
    struct port *bench = bench_new(&app_pulse_count);
    bench->counts = false;
    size_t n = bench_evaluate(payload, ENCODING_RAW, sizeof bitstream, 1000, 1, bitstream, sizeof bitstream);
    CHECK_EQUAL(bench_ask(bench, MSG_EVALUATE, 1, payload, n), n + FRAME_OVERHEAD);
    CHECK_EQUAL(bench_ask(bench, MSG_EVALUATE, 2, payload, n), n + FRAME_OVERHEAD);
    CHECK_EQUAL(bench->loads, 1);
    bench->counts = true;
    bench_run(bench);
    CHECK_EQUAL(bench_sent(bench, got), 2);
    CHECK(got[0].id == 1 && got[1].id == 2);
    CHECK_EQUAL(le_get32(got[0].payload + 20), n + FRAME_OVERHEAD); /* received while the first window was open */
    CHECK_EQUAL(le_get32(got[1].payload + 20), 0);
    CHECK_EQUAL(bench->loads, 2);
    bench_free(bench);
}

static void a_board_with_full_buffers_stops_reading_until_one_is_free(void)
{
    struct port *bench = bench_new(&app_pulse_count);
    static uint8_t frame[EVALUATE_MAX + FRAME_OVERHEAD];
    bench->counts = false;
    evaluate(bench, 1);
    evaluate(bench, 2);
    size_t n = bench_evaluate(payload, ENCODING_RAW, 64, 1000, 1, bitstream, 64);
    struct frame_header header = {MSG_EVALUATE, 0, 3, (uint32_t)n};
    size_t size = frame_write(frame, &header, payload);
    size_t used = bench_give(bench, frame, size);
    CHECK_EQUAL(used, FRAME_HEADER_SIZE);
    bench->now_us += FRAME_GAP_US + 500; /* not the host's fault, and less than the watchdog allows */
    bench_run(bench);
    CHECK_EQUAL(bench_sent(bench, got), 0);
    bench->counts = true;
    bench_run(bench);
    CHECK_EQUAL(bench_give(bench, frame + used, size - used), size - used);
    CHECK_EQUAL(bench_sent(bench, got), 3);
    CHECK(got[0].id == 1 && got[1].id == 2 && got[2].id == 3 && got[2].type == 0x83);
    bench_free(bench);
}

static void a_frame_that_waited_for_a_buffer_has_its_gap_when_it_got_one(void)
{
    struct port *bench = bench_new(&app_pulse_count);
    uint8_t head[FRAME_OVERHEAD];
    bench->counts = false;
    evaluate(bench, 1);
    evaluate(bench, 2);
    struct frame_header header = {MSG_EVALUATE, 0, 3, 0};
    frame_write(head, &header, NULL);
    le_put32(head + 8, 5000);
    le_put32(head + 12, crc32_update(0, head, 12));
    bench_give(bench, head, FRAME_HEADER_SIZE); /* and nothing more */
    bench->counts = true;
    bench_run(bench);
    CHECK_EQUAL(bench_sent(bench, got), 2);
    bench->now_us += FRAME_GAP_US;
    bench_run(bench);
    expect_nak(bench, 3, NAK_TRUNCATED);
    bench_ask(bench, MSG_HELLO, 4, NULL, 0);
    bench_expect(bench, got, 0x81, 4);
    bench_free(bench);
}

static void frames_that_are_not_taken_are_refused_at_once(void)
{
    struct port *bench = bench_new(&app_pulse_count);
    bench->counts = false;
    evaluate(bench, 1);
    evaluate(bench, 1);
    expect_nak(bench, 1, NAK_DUPLICATE);
    static const uint32_t lengths[] = {REQUEST_MAX + 1, EVALUATE_MAX + 1, UINT32_MAX};
    for (size_t i = 0; i < 3; i++) {
        struct frame_header header = {i == 0 ? MSG_HELLO : MSG_EVALUATE, 0, 4, 0};
        frame_write(payload, &header, NULL);
        header.length = lengths[i];
        le_put32(payload + 8, header.length);
        uint8_t head[FRAME_OVERHEAD];
        memcpy(head, payload, 12);
        le_put32(head + 12, crc32_update(0, head, 12));
        bench_give(bench, head, FRAME_HEADER_SIZE);
        expect_nak(bench, 4, NAK_TOO_LONG);
    }
    struct frame_header flagged = {MSG_HELLO, 1, 5, 0};
    size_t n = frame_write(payload, &flagged, NULL);
    bench_give(bench, payload, n);
    expect_nak(bench, 5, NAK_BAD_FLAGS);
    bench_ask(bench, MSG_HELLO, 6, NULL, 0);
    bench_expect(bench, got, 0x81, 6);
    bench_free(bench);
}

static void a_damaged_evaluate_is_refused_and_its_buffer_free_again(void)
{
    struct port *bench = bench_new(&app_pulse_count);
    for (int i = 0; i < 5; i++) {
        static uint8_t frame[EVALUATE_MAX + FRAME_OVERHEAD];
        size_t n = bench_evaluate(payload, ENCODING_RAW, 1000, 1000, 1, bitstream, 1000);
        struct frame_header header = {MSG_EVALUATE, 0, 3, (uint32_t)n};
        size_t size = frame_write(frame, &header, payload);
        frame[size - 1 - 100 * i] ^= 4;
        bench_give(bench, frame, size);
        expect_nak(bench, 3, NAK_CORRUPT);
    }
    CHECK_EQUAL(bench->loads, 0);
    evaluate(bench, 4);
    bench_expect(bench, got, 0x83, 4);
    bench_free(bench);
}

static void a_frame_whose_bytes_stop_is_dropped_after_the_gap(void)
{
    struct port *bench = bench_new(&app_pulse_count);
    static uint8_t frame[EVALUATE_MAX + FRAME_OVERHEAD];
    size_t n = bench_evaluate(payload, ENCODING_RAW, 1000, 1000, 1, bitstream, 1000);
    struct frame_header header = {MSG_EVALUATE, 0, 3, (uint32_t)n};
    frame_write(frame, &header, payload);
    bench_give(bench, frame, 500);
    CHECK_EQUAL(core_deadline(&bench->core), FRAME_GAP_US);
    bench->now_us = FRAME_GAP_US - 1;
    bench_run(bench);
    CHECK_EQUAL(bench_sent(bench, got), 0);
    bench->now_us++;
    bench_run(bench);
    expect_nak(bench, 3, NAK_TRUNCATED);
    CHECK(core_deadline(&bench->core) == CORE_NEVER);
    evaluate(bench, 4);
    bench_expect(bench, got, 0x83, 4);
    bench_free(bench);
}

static void an_fpga_that_does_not_take_the_bitstream_fails_the_evaluation(void)
{
    struct port *bench = bench_new(&app_pulse_count);
    bench->load = LOAD_FAILED;
    evaluate(bench, 1);
    bench_expect_failed(bench, got, 1, FAILED_CDONE);
    bench->load = LOAD_DONE;
    evaluate(bench, 2);
    bench_expect(bench, got, 0x83, 2);
    bench_free(bench);
}

static void cdone_that_is_stuck_is_told_from_cdone_that_does_not_rise(void)
{
    struct port *bench = bench_new(&app_pulse_count);
    bench->load = LOAD_STUCK;
    evaluate(bench, 1);
    bench_expect_failed(bench, got, 1, FAILED_CDONE);
    CHECK(strstr((const char *)got[0].payload + 2, "CRESET") != NULL);
    bench_free(bench);
}

static void expect_log(const struct bench_frame *frame, uint8_t level, const char *text)
{
    CHECK_EQUAL(frame->type, MSG_LOG);
    CHECK_EQUAL(frame->id, 0);
    CHECK_EQUAL(frame->payload[0], level);
    CHECK(frame->n == 1 + strlen(text) && memcmp(frame->payload + 1, text, strlen(text)) == 0);
}

static void the_log_waits_for_a_host_that_said_hello(void)
{
    struct port *bench = bench_new(&app_pulse_count);
    core_log(&bench->core, LEVEL_WARNING, "the watchdog");
    bench_run(bench);
    bench_ask(bench, MSG_STATUS, 1, NULL, 0);
    bench_expect(bench, got, 0x82, 1);
    bench_ask(bench, MSG_HELLO, 2, NULL, 0);
    CHECK_EQUAL(bench_sent(bench, got), 2);
    CHECK_EQUAL(got[0].type, 0x81);
    expect_log(&got[1], 30, "the watchdog");
    core_log(&bench->core, LEVEL_INFO, "one");
    core_log(&bench->core, LEVEL_ERROR, "two");
    bench_run(bench);
    CHECK_EQUAL(bench_sent(bench, got), 2);
    expect_log(&got[0], 20, "one");
    expect_log(&got[1], 40, "two");
    core_disconnected(&bench->core);
    core_log(&bench->core, LEVEL_INFO, "three");
    bench_run(bench);
    CHECK_EQUAL(bench_sent(bench, got), 0);
    bench_free(bench);
}

static void a_log_that_nobody_reads_keeps_what_came_first(void)
{
    struct port *bench = bench_new(&app_pulse_count);
    static const char *const texts[] = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"};
    for (size_t i = 0; i < 10; i++)
        core_log(&bench->core, LEVEL_INFO, texts[i]);
    bench_ask(bench, MSG_HELLO, 2, NULL, 0);
    CHECK_EQUAL(bench_sent(bench, got), 1 + LOG_LINES);
    for (size_t i = 0; i < LOG_LINES; i++)
        expect_log(&got[1 + i], 20, texts[i]);
    bench_free(bench);
}

static void many_bad_bitstreams_in_a_row_are_one_line_of_the_log(void)
{
    struct port *bench = bench_new(&app_pulse_count);
    bench_ask(bench, MSG_HELLO, 1, NULL, 0);
    bench_expect(bench, got, 0x81, 1);
    bench->load = LOAD_FAILED;
    for (uint32_t id = 2; id < 5; id++) {
        evaluate(bench, id);
        CHECK_EQUAL(bench_sent(bench, got), id == 2 ? 2 : 1);
        CHECK_EQUAL(got[0].type, MSG_FAILED);
    }
    bench->load = LOAD_DONE;
    evaluate(bench, 5);
    bench_expect(bench, got, 0x83, 5);
    bench->load = LOAD_FAILED;
    evaluate(bench, 6);
    CHECK_EQUAL(bench_sent(bench, got), 2); /* it is news again */
    expect_log(&got[1], 30, "CDONE did not rise: the FPGA did not take the bitstream");
    bench_free(bench);
}

static void the_watchdog_ends_what_does_not_finish_and_the_board_goes_on(void)
{
    struct port *bench = bench_new(&app_pulse_count);
    bench->counts = false;
    evaluate(bench, 1);
    evaluate(bench, 2);
    CHECK_EQUAL(core_deadline(&bench->core), 1000 + MEASURE_MARGIN_US);
    bench->now_us = 1000 + MEASURE_MARGIN_US;
    bench->load = LOAD_BUSY;
    bench_run(bench);
    bench_expect_failed(bench, got, 1, FAILED_WATCHDOG);
    bench->now_us += LOAD_LIMIT_US;
    bench_run(bench);
    bench_expect_failed(bench, got, 2, FAILED_WATCHDOG);
    CHECK_EQUAL(bench->stops, 2);
    CHECK_EQUAL(bench->core.watchdogs, 2);
    bench->load = LOAD_DONE;
    bench->counts = true;
    evaluate(bench, 3);
    bench_expect(bench, got, 0x83, 3);
    bench_free(bench);
}

static void cancel_ends_one_evaluation_or_all(void)
{
    struct port *bench = bench_new(&app_pulse_count);
    uint8_t id[4];
    bench->counts = false;
    evaluate(bench, 1);
    evaluate(bench, 2);
    le_put32(id, 2);
    bench_ask(bench, MSG_CANCEL, 3, id, 4);
    CHECK_EQUAL(bench_sent(bench, got), 2);
    CHECK(got[0].type == MSG_FAILED && got[0].id == 2 && le_get16(got[0].payload) == FAILED_CANCELLED);
    CHECK(got[1].type == 0x84 && got[1].id == 3 && le_get32(got[1].payload) == 1);
    evaluate(bench, 4);
    bench_ask(bench, MSG_CANCEL, 5, NULL, 0);
    CHECK_EQUAL(bench_sent(bench, got), 3);
    CHECK_EQUAL(le_get32(got[2].payload), 2);
    CHECK_EQUAL(bench->stops, 1);
    bench_ask(bench, MSG_CANCEL, 6, NULL, 0);
    bench_expect(bench, got, 0x84, 6);
    CHECK_EQUAL(le_get32(got[0].payload), 0);
    bench_ask(bench, MSG_CANCEL, 7, id, 3);
    bench_expect_failed(bench, got, 7, FAILED_BAD_LENGTH);
    bench_free(bench);
}

static void reboot_answers_first_and_takes_nothing_after(void)
{
    struct port *bench = bench_new(&app_default);
    uint8_t where = 1, nowhere = 2;
    bench_ask(bench, MSG_REBOOT, 1, &nowhere, 1);
    bench_expect_failed(bench, got, 1, FAILED_BAD_PARAMETERS);
    bench->tx_room = 3;
    bench_ask(bench, MSG_REBOOT, 2, &where, 1);
    CHECK_EQUAL(bench->reboots, 0);
    bench->tx_room = SIZE_MAX;
    bench_run(bench);
    bench_expect(bench, got, 0x85, 2);
    CHECK_EQUAL(bench->reboots, 1);
    CHECK(bench->to_loader);
    CHECK_EQUAL(bench_ask(bench, MSG_HELLO, 3, NULL, 0), 0);
    bench_run(bench);
    CHECK_EQUAL(bench->reboots, 1);
    bench_free(bench);
}

static void a_host_that_does_not_read_loses_no_answer(void)
{
    struct port *bench = bench_new(&app_pulse_count);
    uint32_t asked = 0, answered = 0;
    size_t n = bench_evaluate(payload, ENCODING_RAW, 8, 1, 256, bitstream, 8);
    static uint8_t frame[EVALUATE_MAX + FRAME_OVERHEAD];
    bench->tx_room = 0;
    for (;;) {
        struct frame_header header = {MSG_EVALUATE, 0, asked + 1, (uint32_t)n};
        size_t size = frame_write(frame, &header, payload);
        size_t used = bench_give(bench, frame, size);
        if (used < size) {
            bench->tx_room = SIZE_MAX;
            asked += bench_give(bench, frame + used, size - used) == size - used;
            break;
        }
        asked++;
    }
    CHECK(asked >= 3);
    for (int i = bench_sent(bench, got); i > 0; i--)
        answered += got[i - 1].type == 0x83;
    CHECK_EQUAL(answered, asked);
    bench_free(bench);
}

static void a_host_that_closes_the_port_leaves_a_quiet_board(void)
{
    struct port *bench = bench_new(&app_pulse_count);
    bench->counts = false;
    bench->tx_room = 0;
    evaluate(bench, 1);
    evaluate(bench, 2);
    bench_ask(bench, MSG_HELLO, 3, NULL, 0);
    bench_give(bench, (const uint8_t *)"\xc5\x1f\x01", 3);
    core_disconnected(&bench->core);
    bench->tx_room = SIZE_MAX;
    bench->counts = true;
    bench_run(bench);
    CHECK_EQUAL(bench_sent(bench, got), 0);
    evaluate(bench, 1);
    bench_expect(bench, got, 0x83, 1);
    bench_free(bench);
}

static void requests_may_be_split_anywhere(void)
{
    struct port *bench = bench_new(&app_pulse_count);
    static uint8_t frame[EVALUATE_MAX + FRAME_OVERHEAD];
    size_t n = bench_evaluate(payload, ENCODING_RAW, 40, 1000, 1, bitstream, 40);
    struct frame_header header = {MSG_EVALUATE, 0, 3, (uint32_t)n};
    size_t size = frame_write(frame, &header, payload);
    for (size_t step = 1; step <= size; step++) {
        for (size_t at = 0; at < size; at += step)
            bench_give(bench, frame + at, size - at < step ? size - at : step);
        bench_expect(bench, got, 0x83, 3);
        CHECK(memcmp(bench->loaded, bitstream, 40) == 0);
    }
    bench_free(bench);
}

int main(void)
{
    RUN(hello_says_who_the_board_is);
    RUN(a_board_answers_with_the_greatest_version_that_both_speak);
    RUN(status_counts_frames_refusals_and_evaluations);
    RUN(an_evaluation_loads_the_bitstream_and_answers_with_every_window);
    RUN(a_result_says_how_it_came_to_be);
    RUN(a_circuit_that_cannot_be_measured_is_refused_and_the_next_one_measured);
    RUN(the_greatest_number_of_windows_fits_into_one_result);
    RUN(an_lz4_bitstream_is_loaded_decoded);
    RUN(requests_that_do_not_fit_together_fail_with_a_reason);
    RUN(a_load_is_as_much_slower_as_is_asked_for);
    RUN(all_windows_together_have_a_limit);
    RUN(the_default_application_measures_nothing_with_parameters);
    RUN(an_application_without_a_check_evaluates_nothing);
    RUN(a_self_test_passes_and_echoes);
    RUN(a_self_test_leaves_waiting_bitstreams_alone);
    RUN(unknown_requests_and_messages_are_answered);
    RUN(application_messages_go_both_ways);
    RUN(the_next_bitstream_is_received_while_one_is_measured);
    RUN(a_board_with_full_buffers_stops_reading_until_one_is_free);
    RUN(a_frame_that_waited_for_a_buffer_has_its_gap_when_it_got_one);
    RUN(frames_that_are_not_taken_are_refused_at_once);
    RUN(a_damaged_evaluate_is_refused_and_its_buffer_free_again);
    RUN(a_frame_whose_bytes_stop_is_dropped_after_the_gap);
    RUN(an_fpga_that_does_not_take_the_bitstream_fails_the_evaluation);
    RUN(cdone_that_is_stuck_is_told_from_cdone_that_does_not_rise);
    RUN(the_log_waits_for_a_host_that_said_hello);
    RUN(a_log_that_nobody_reads_keeps_what_came_first);
    RUN(many_bad_bitstreams_in_a_row_are_one_line_of_the_log);
    RUN(the_watchdog_ends_what_does_not_finish_and_the_board_goes_on);
    RUN(cancel_ends_one_evaluation_or_all);
    RUN(reboot_answers_first_and_takes_nothing_after);
    RUN(a_host_that_does_not_read_loses_no_answer);
    RUN(a_host_that_closes_the_port_leaves_a_quiet_board);
    RUN(requests_may_be_split_anywhere);
    return 0;
}
