/* The applications beside pulse_count: what they take, and what they answer. */
#include "bench_port.h"
#include "check.h"
#include "le.h"

static uint8_t payload[EVALUATE_MAX];
static struct bench_frame got[BENCH_FRAMES];

static void evaluate(struct port *bench, uint32_t id, const uint8_t *parameters, uint16_t n)
{
    memset(payload, 0, 8);
    le_put16(payload + 2, n);
    le_put32(payload + 4, 100);
    memcpy(payload + 8, parameters, n);
    memset(payload + 8 + n, 0x55, 100);
    bench_ask(bench, MSG_EVALUATE, id, payload, 8u + n + 100);
}

/* --------------------------------------------------------------------------------------------- multi_pulse_count */

static void count_pins(struct port *bench, uint32_t window_us, uint16_t repeats, const uint8_t *pins, uint16_t n)
{
    uint8_t parameters[20];
    le_put32(parameters, window_us);
    le_put16(parameters + 4, repeats);
    le_put16(parameters + 6, 24);
    memcpy(parameters + 8, pins, n);
    evaluate(bench, 1, parameters, (uint16_t)(8 + n));
}

static void each_pin_has_its_count_in_the_order_asked_for(void)
{
    static const uint8_t pins[] = {27, 9, 25};
    struct port *bench = bench_new(&app_multi_pulse_count);
    count_pins(bench, 250000, 2, pins, 3);
    bench_expect(bench, got, 0x83, 1);
    CHECK_EQUAL(bench->clock_mhz, 24);
    CHECK(bench->n_pins == 3 && memcmp(bench->pins, pins, 3) == 0);
    CHECK_EQUAL(le_get32(got[0].payload + 16), 500000); /* both windows */
    CHECK_EQUAL(got[0].n, RESULT_FIXED + 2 * 4 * 4);
    for (uint32_t repeat = 0; repeat < 2; repeat++) {
        const uint8_t *result = got[0].payload + RESULT_FIXED + 16 * repeat;
        CHECK_EQUAL(le_get32(result), 250000);
        for (uint32_t pin = 0; pin < 3; pin++)
            CHECK_EQUAL(le_get32(result + 4 + 4 * pin), 2000 + repeat + 1000 * pin);
    }
    bench_free(bench);
}

static void as_many_pins_and_repeats_as_fit_are_counted(void)
{
    static const uint8_t pins[] = {9, 11, 18, 19, 20, 21, 23, 25};
    struct port *bench = bench_new(&app_multi_pulse_count);
    count_pins(bench, 1000, 112, pins, 8);
    bench_expect(bench, got, 0x83, 1);
    CHECK_EQUAL(got[0].n, RESULT_FIXED + 112 * 36);
    count_pins(bench, 1000, 113, pins, 8);
    bench_expect(bench, got, MSG_FAILED, 1);
    count_pins(bench, 1000, 506, pins, 1);
    bench_expect(bench, got, 0x83, 1);
    CHECK_EQUAL(got[0].n, RESULT_FIXED + 506 * 8);
    bench_free(bench);
}

static void pins_that_cannot_be_counted_are_refused(void)
{
    static const struct {
        uint32_t window_us;
        uint16_t repeats, n;
        uint8_t pins[10];
    } bad[] = {
        {1000, 1, 0, {0}},        {1000, 1, 1, {35}},
        {1000, 1, 1, {15}},       {1000, 1, 2, {27, 27}},
        {1000, 0, 1, {27}},       {0, 1, 1, {27}},
        {60000001, 1, 1, {27}},   {60000000, 11, 1, {27}},
        {1000, 507, 1, {27}},     {1000, 1, 9, {9, 11, 18, 19, 20, 21, 23, 25, 26}},
        {1000, 1, 3, {27, 0, 9}},
    };
    struct port *bench = bench_new(&app_multi_pulse_count);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        count_pins(bench, bad[i].window_us, bad[i].repeats, bad[i].pins, bad[i].n);
        bench_expect(bench, got, MSG_FAILED, 1);
        CHECK_EQUAL(le_get16(got[0].payload), FAILED_BAD_PARAMETERS);
    }
    CHECK_EQUAL(bench->loads, 0);
    bench_free(bench);
}

/* ------------------------------------------------------------------------------------------------------- variance */

static void sample_often(struct port *bench, uint32_t id, uint32_t delay_us, uint32_t rate_hz, uint16_t samples, uint16_t flags,
                         uint16_t repeats)
{
    uint8_t parameters[14];
    le_put32(parameters, delay_us);
    le_put32(parameters + 4, rate_hz);
    le_put16(parameters + 8, samples);
    le_put16(parameters + 10, flags);
    le_put16(parameters + 12, repeats);
    evaluate(bench, id, parameters, sizeof parameters);
}

static void sample(struct port *bench, uint32_t id, uint32_t delay_us, uint32_t rate_hz, uint16_t samples, uint16_t flags)
{
    sample_often(bench, id, delay_us, rate_hz, samples, flags, 1);
}

static void an_old_workers_parameters_leave_the_clock_as_it_is_by_default(void)
{
    struct port *bench = bench_new(&app_variance);
    bench->clock_mhz = 0;
    sample(bench, 1, 0, 10000, 5, 0);
    bench_expect(bench, got, 0x83, 1);
    CHECK_EQUAL(bench->clock_mhz, 48);
    bench_free(bench);
}

static void sample_clocked(struct port *bench, uint16_t clock)
{
    uint8_t parameters[16] = {0};
    le_put32(parameters + 4, 10000);
    le_put16(parameters + 8, 5);
    le_put16(parameters + 12, 1);
    le_put16(parameters + 14, clock);
    evaluate(bench, 1, parameters, sizeof parameters);
}

static void count_clocked(struct port *bench, uint16_t clock)
{
    uint8_t parameters[8] = {0};
    le_put32(parameters, 1000);
    le_put16(parameters + 4, 1);
    le_put16(parameters + 6, clock);
    evaluate(bench, 1, parameters, sizeof parameters);
}

static void count_pin_clocked(struct port *bench, uint16_t clock)
{
    uint8_t parameters[9] = {0};
    le_put32(parameters, 1000);
    le_put16(parameters + 4, 1);
    le_put16(parameters + 6, clock);
    parameters[8] = 27;
    evaluate(bench, 1, parameters, sizeof parameters);
}

static const struct {
    const struct app *app;
    void (*evaluate)(struct port *bench, uint16_t clock);
} clocked[] = {{&app_pulse_count, count_clocked}, {&app_variance, sample_clocked}, {&app_multi_pulse_count, count_pin_clocked}};

static void the_clock_is_set_before_the_load_as_the_parameters_say(void)
{
    static const uint16_t said[] = {0, 6, 12, 24, 48, 0xffff}, set[] = {48, 6, 12, 24, 48, 0};
    for (size_t a = 0; a < sizeof clocked / sizeof *clocked; a++) {
        struct port *bench = bench_new(clocked[a].app);
        for (uint32_t i = 0; i < 6; i++) {
            bench->clock_mhz = 1;
            clocked[a].evaluate(bench, said[i]);
            bench_expect(bench, got, 0x83, 1);
            CHECK_EQUAL(bench->clock_mhz, set[i]);
            CHECK_EQUAL(bench->clocked_loads, i);
        }
        bench_free(bench);
    }
}

static void clocks_that_the_board_cannot_make_are_refused(void)
{
    static const uint16_t bad[] = {1, 7, 16, 47, 49, 96, 0xfffe};
    for (size_t a = 0; a < sizeof clocked / sizeof *clocked; a++) {
        struct port *bench = bench_new(clocked[a].app);
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
            clocked[a].evaluate(bench, bad[i]);
            bench_expect(bench, got, MSG_FAILED, 1);
            CHECK_EQUAL(le_get16(got[0].payload), FAILED_BAD_PARAMETERS);
        }
        CHECK_EQUAL(bench->loads, 0);
        bench_free(bench);
    }
}

static void the_differences_of_neighbouring_samples_are_summed_up(void)
{
    struct port *bench = bench_new(&app_variance);
    sample(bench, 1, 100000, 10000, 5, 0);
    bench_expect(bench, got, 0x83, 1);
    CHECK_EQUAL(bench->delay_us, 100000);
    CHECK_EQUAL(bench->rate_hz, 10000);
    CHECK_EQUAL(got[0].n, RESULT_FIXED + 8);
    CHECK_EQUAL(le_get32(got[0].payload + 16), 500); /* the window */
    const uint8_t *result = got[0].payload + RESULT_FIXED;
    CHECK_EQUAL(le_get32(result), 16); /* 0 1 4 9 16 */
    CHECK_EQUAL(le_get16(result + 4), 5);
    CHECK_EQUAL(le_get16(result + 6), 0);
    bench_free(bench);
}

static void samples_that_fall_count_as_much_as_those_that_rise(void)
{
    struct port *bench = bench_new(&app_variance);
    sample(bench, 1, 0, 10000, 300, 0); /* 255 squared is 65025; the square of 256 is 0 in 16 bits */
    bench_expect(bench, got, 0x83, 1);
    CHECK_EQUAL(le_get32(got[0].payload + RESULT_FIXED), 65025 + 65025 + (299 * 299 - 65536));
    bench_free(bench);
}

static void the_waveform_comes_when_it_is_asked_for(void)
{
    struct port *bench = bench_new(&app_variance);
    sample(bench, 1, 0, 100000, 2000, 1);
    bench_expect(bench, got, 0x83, 1);
    CHECK_EQUAL(got[0].n, RESULT_FIXED + 8 + 2 * 2000);
    const uint8_t *result = got[0].payload + RESULT_FIXED;
    CHECK_EQUAL(le_get16(result + 6), 2000);
    for (uint32_t i = 0; i < 2000; i++)
        CHECK_EQUAL(le_get16(result + 8 + 2 * i), (uint16_t)(i * i));
    bench_free(bench);
}

static void repeats_are_sampled_after_one_load_and_one_delay(void)
{
    struct port *bench = bench_new(&app_variance);
    sample_often(bench, 1, 100000, 10000, 5, 0, 3);
    bench_expect(bench, got, 0x83, 1);
    CHECK_EQUAL(bench->loads, 1);
    CHECK_EQUAL(bench->delay_us, 0); /* of the last repeat */
    CHECK_EQUAL(got[0].n, RESULT_FIXED + 3 * 8);
    CHECK_EQUAL(le_get32(got[0].payload + 16), 3 * 500); /* all windows */
    for (size_t i = 0; i < 3; i++) {
        const uint8_t *head = got[0].payload + RESULT_FIXED + 8 * i;
        CHECK_EQUAL(le_get32(head), 16);
        CHECK_EQUAL(le_get16(head + 4), 5);
        CHECK_EQUAL(le_get16(head + 6), 0);
    }
    bench_free(bench);
}

static void each_repeat_has_its_waveform(void)
{
    struct port *bench = bench_new(&app_variance);
    sample_often(bench, 1, 0, 10000, 300, 1, 4);
    bench_expect(bench, got, 0x83, 1);
    CHECK_EQUAL(got[0].n, RESULT_FIXED + 4 * (8 + 600));
    for (size_t k = 0; k < 4; k++) {
        const uint8_t *record = got[0].payload + RESULT_FIXED + k * 608;
        CHECK_EQUAL(le_get16(record + 6), 300);
        for (uint32_t i = 0; i < 300; i++)
            CHECK_EQUAL(le_get16(record + 8 + 2 * i), (uint16_t)(i * i));
    }
    bench_free(bench);
}

static void as_many_repeats_as_fit_are_sampled(void)
{
    struct port *bench = bench_new(&app_variance);
    sample_often(bench, 1, 0, 10000, 1000, 0, 256);
    bench_expect(bench, got, 0x83, 1);
    CHECK_EQUAL(got[0].n, RESULT_FIXED + 256 * 8);
    for (size_t i = 0; i < 256; i++)
        CHECK_EQUAL(le_get16(got[0].payload + RESULT_FIXED + 8 * i + 4), 1000);
    bench_free(bench);
}

static void sampling_that_cannot_be_done_is_refused(void)
{
    static const struct {
        uint32_t delay_us, rate_hz;
        uint16_t samples, flags, repeats;
    } bad[] = {
        {10000001, 10000, 500, 0, 1}, {0, 99, 500, 0, 1},     {0, 100001, 500, 0, 1}, {0, 10000, 1, 0, 1},
        {0, 10000, 2001, 0, 1},       {0, 10000, 500, 2, 1},  {0, 10000, 500, 0, 0},  {0, 10000, 500, 0, 257},
        {0, 10000, 2000, 0, 8},       {0, 10000, 2000, 1, 2},
    };
    struct port *bench = bench_new(&app_variance);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        sample_often(bench, 1, bad[i].delay_us, bad[i].rate_hz, bad[i].samples, bad[i].flags, bad[i].repeats);
        bench_expect(bench, got, MSG_FAILED, 1);
        CHECK_EQUAL(le_get16(got[0].payload), FAILED_BAD_PARAMETERS);
    }
    evaluate(bench, 2, (const uint8_t *)"short", 5);
    bench_expect(bench, got, MSG_FAILED, 2);
    CHECK_EQUAL(bench->loads, 0);
    bench_free(bench);
}

static void the_watchdog_waits_for_delay_and_samples(void)
{
    struct port *bench = bench_new(&app_variance);
    bench->sampled = false;
    sample_often(bench, 1, 2000000, 1000, 500, 0, 3);
    bench->now_us = 2000000 + 3 * 500000 + MEASURE_MARGIN_US - 1;
    bench_run(bench);
    CHECK_EQUAL(bench_sent(bench, got), 0);
    bench->now_us++;
    bench_run(bench);
    bench_expect(bench, got, MSG_FAILED, 1);
    CHECK_EQUAL(le_get16(got[0].payload), FAILED_WATCHDOG);
    CHECK(bench->samples == NULL);
    bench_free(bench);
}

/* -------------------------------------------------------------------------------------------------------- console */

static struct port *open_console(void)
{
    static const uint8_t baud[4] = {0x00, 0xc2, 0x01, 0x00}; /* 115200 */
    struct port *bench = bench_new(&app_console);
    evaluate(bench, 1, baud, sizeof baud);
    bench_expect(bench, got, 0x83, 1);
    CHECK_EQUAL(got[0].n, RESULT_FIXED);
    CHECK_EQUAL(bench->baud, 115200);
    return bench;
}

static void type(struct port *bench, uint32_t id, uint32_t position, const char *text)
{
    le_put32(payload, position);
    memcpy(payload + 4, text, strlen(text));
    bench_ask(bench, 0x40, id, payload, 4 + strlen(text));
}

static void expect_taken(struct port *bench, uint32_t id, uint32_t taken)
{
    bench_expect(bench, got, 0xc0, id);
    CHECK_EQUAL(got[0].n, 4);
    CHECK_EQUAL(le_get32(got[0].payload), taken);
}

static void bytes_go_to_the_fpga(void)
{
    struct port *bench = open_console();
    type(bench, 2, 0, "hello");
    expect_taken(bench, 2, 5);
    CHECK(bench->n_taken == 5 && memcmp(bench->taken, "hello", 5) == 0);
    bench_free(bench);
}

static void bytes_that_come_twice_are_taken_once(void)
{
    struct port *bench = open_console();
    type(bench, 2, 0, "hello");
    type(bench, 3, 0, "hello");
    type(bench, 4, 3, "lots");
    type(bench, 5, 9, "from the future");
    CHECK_EQUAL(bench_sent(bench, got), 4);
    CHECK_EQUAL(le_get32(got[3].payload), 7);
    CHECK(bench->n_taken == 7 && memcmp(bench->taken, "hellots", 7) == 0);
    bench_free(bench);
}

static void what_the_fpga_does_not_take_is_said(void)
{
    struct port *bench = open_console();
    bench->uart_room = 3;
    type(bench, 2, 0, "hello");
    expect_taken(bench, 2, 3);
    bench->uart_room = SIZE_MAX;
    type(bench, 3, 3, "lo");
    expect_taken(bench, 3, 5);
    bench_free(bench);
}

static void what_the_fpga_sends_comes_unasked_and_numbered(void)
{
    struct port *bench = open_console();
    memset(bench->given, 'x', sizeof bench->given);
    bench->n_given = 600;
    bench_run(bench);
    CHECK_EQUAL(bench_sent(bench, got), 2);
    CHECK(got[0].type == 0xc1 && got[0].id == 0 && got[0].n == 4 + 512);
    CHECK_EQUAL(le_get32(got[0].payload), 0);
    CHECK_EQUAL(le_get32(got[1].payload), 512);
    CHECK_EQUAL(got[1].n, 4 + 88);
    bench_free(bench);
}

static void bytes_that_are_lost_are_a_gap_in_the_positions_and_one_line_of_the_log(void)
{
    struct port *bench = open_console();
    bench_ask(bench, MSG_HELLO, 2, NULL, 0);
    bench_expect(bench, got, 0x81, 2);
    bench->n_given = 5;
    bench->n_lost = 7;
    bench_run(bench);
    CHECK_EQUAL(bench_sent(bench, got), 2);
    CHECK(got[0].type == 0xc1 && got[0].n == 4 + 5);
    CHECK_EQUAL(le_get32(got[0].payload), 7);
    CHECK_EQUAL(got[1].type, MSG_LOG);
    CHECK(strstr((const char *)got[1].payload + 1, "lost") != NULL);
    bench->n_lost = 10; /* and nothing behind it yet */
    bench_run(bench);
    CHECK_EQUAL(bench_sent(bench, got), 0);
    bench->n_given = 6;
    bench_run(bench);
    bench_expect(bench, got, 0xc1, 0);
    CHECK_EQUAL(le_get32(got[0].payload), 7 + 5 + 10);
    bench_free(bench);
}

static void the_answer_to_evaluate_comes_before_what_the_fpga_sends(void)
{
    static const uint8_t baud[4] = {0x00, 0xc2, 0x01, 0x00};
    struct port *bench = bench_new(&app_console);
    bench->n_given = 5;
    bench->load = LOAD_BUSY;
    evaluate(bench, 1, baud, sizeof baud);
    bench->n_read = bench->n_given = 0;
    bench_sent(bench, got);
    bench->load = LOAD_DONE;
    bench->n_given = 5;
    bench_run(bench);
    CHECK_EQUAL(bench_sent(bench, got), 2);
    CHECK_EQUAL(got[0].type, 0x83);
    CHECK_EQUAL(got[1].type, 0xc1);
    bench_free(bench);
}

static void a_host_that_does_not_read_holds_the_fpga_back(void)
{
    struct port *bench = open_console();
    bench->n_given = sizeof bench->given;
    bench->tx_room = 0;
    bench_run(bench);
    CHECK(bench->n_read < sizeof bench->given);
    bench->tx_room = SIZE_MAX;
    bench_run(bench);
    CHECK_EQUAL(bench->n_read, sizeof bench->given);
    CHECK_EQUAL(bench_sent(bench, got), sizeof bench->given / 512);
    bench_free(bench);
}

static void messages_that_make_no_sense_are_refused(void)
{
    static const uint8_t slow[4] = {1, 0, 0, 0};
    struct port *bench = open_console();
    bench_ask(bench, 0x40, 2, "abc", 3);
    bench_expect(bench, got, MSG_FAILED, 2);
    bench_ask(bench, 0x41, 3, "abcdef", 6);
    bench_expect(bench, got, MSG_FAILED, 3);
    evaluate(bench, 4, slow, sizeof slow);
    bench_expect(bench, got, MSG_FAILED, 4);
    CHECK_EQUAL(bench->n_taken, 0);
    bench_free(bench);
}

int main(void)
{
    RUN(each_pin_has_its_count_in_the_order_asked_for);
    RUN(as_many_pins_and_repeats_as_fit_are_counted);
    RUN(pins_that_cannot_be_counted_are_refused);
    RUN(an_old_workers_parameters_leave_the_clock_as_it_is_by_default);
    RUN(the_clock_is_set_before_the_load_as_the_parameters_say);
    RUN(clocks_that_the_board_cannot_make_are_refused);
    RUN(the_differences_of_neighbouring_samples_are_summed_up);
    RUN(samples_that_fall_count_as_much_as_those_that_rise);
    RUN(the_waveform_comes_when_it_is_asked_for);
    RUN(repeats_are_sampled_after_one_load_and_one_delay);
    RUN(each_repeat_has_its_waveform);
    RUN(as_many_repeats_as_fit_are_sampled);
    RUN(sampling_that_cannot_be_done_is_refused);
    RUN(the_watchdog_waits_for_delay_and_samples);
    RUN(bytes_go_to_the_fpga);
    RUN(bytes_that_come_twice_are_taken_once);
    RUN(what_the_fpga_does_not_take_is_said);
    RUN(what_the_fpga_sends_comes_unasked_and_numbered);
    RUN(bytes_that_are_lost_are_a_gap_in_the_positions_and_one_line_of_the_log);
    RUN(the_answer_to_evaluate_comes_before_what_the_fpga_sends);
    RUN(a_host_that_does_not_read_holds_the_fpga_back);
    RUN(messages_that_make_no_sense_are_refused);
    return 0;
}
