/* A whole pico2-ice on a fake of the SDK: what the host sees on USB, and evaluations from frame to frame. */
#include "board.h"
#include "check.h"
#include "fake_sdk.h"
#include "le.h"
#include "pins.h"
#include "machines.h"

struct port the_board;

enum { WINDOW_US = 1000000 };

static void boot(const struct app *app)
{
    fake_start();
    fake_watchdog = (watchdog_hw_t){0};
    fake_powman = (powman_hw_t){0};
    board_init(&the_board, app);
    tud_cdc_line_state_cb(0, true, false);
}

static void steps(int n)
{
    for (int i = 0; i < n; i++) {
        fake.now_us += 10;
        board_step(&the_board);
    }
}

static void give(uint8_t type, uint32_t id, const uint8_t *payload, size_t n)
{
    struct frame_header header = {type, 0, id, (uint32_t)n};
    CHECK(fake.n_from_host + n + FRAME_OVERHEAD <= FAKE_BYTES);
    fake.n_from_host += frame_write(fake.from_host + fake.n_from_host, &header, payload);
}

/* The one frame that the board has sent since; its payload is what is returned. */
static const uint8_t *answer(uint8_t type, uint32_t id)
{
    struct frame_reader reader;
    struct frame_piece piece;
    static uint8_t payload[REPLY_MAX];
    size_t used = 0, n = 0;
    int frames = 0;
    frame_reader_init(&reader);
    while (used < fake.n_to_host) {
        used += frame_read(&reader, fake.to_host + used, fake.n_to_host - used, &piece);
        CHECK(piece.event != FRAME_CORRUPT);
        if (piece.event == FRAME_BODY) {
            memcpy(payload + n, piece.bytes, piece.n);
            n += piece.n;
        }
        frames += piece.event == FRAME_END;
    }
    CHECK_EQUAL(frames, 1);
    CHECK_EQUAL(reader.header.type, type);
    CHECK_EQUAL(reader.header.id, id);
    fake.n_to_host = 0;
    return payload;
}

static void leave_by_request(uint8_t to)
{
    boot(&app_default);
    give(MSG_REBOOT, 5, &to, 1);
    steps(3);
    fake.now_us += BOARD_LEAVE_US;
    steps(3);
    CHECK(fake_line(to == 1 ? "boot loader" : "restart", 0) > 0);
}

static void give_clocked_evaluation(uint32_t id, uint16_t clock)
{
    static uint8_t payload[EVALUATE_FIXED + 8 + 1000];
    memset(payload, 0, sizeof payload);
    le_put16(payload + 2, 8);
    le_put32(payload + 4, 1000);
    le_put32(payload + 8, WINDOW_US);
    le_put16(payload + 12, 1);
    le_put16(payload + 14, clock);
    payload[16] = (uint8_t)id;
    give(MSG_EVALUATE, id, payload, sizeof payload);
}

static void give_evaluation(uint32_t id)
{
    give_clocked_evaluation(id, 0);
}

static void give_console(uint32_t baud)
{
    uint8_t payload[EVALUATE_FIXED + 4 + 10] = {0};
    le_put16(payload + 2, 4);
    le_put32(payload + 4, 10);
    le_put32(payload + 8, baud);
    give(MSG_EVALUATE, 1, payload, sizeof payload);
}

/* Plays the FPGA until it runs what was given: CDONE rises with the third clock after the bitstream. */
static void configure(void)
{
    fake.pins[PIN_CDONE].level = false;
    fake.clocks = 0;
    fake.cdone_after = 3;
    steps(4);
    fake.now_us += 2000;
    steps(4);
    for (int i = 0; i < 2; i++) {
        fake_dma_finish(the_board.cram.dma);
        steps(4);
    }
    for (int i = 0; i < 4; i++) {
        fake_clock_out();
        steps(4);
    }
}

static void load(void)
{
    configure();
    CHECK_EQUAL(the_board.core.phase, CORE_MEASURING);
}

static void end_window(uint32_t pulses)
{
    struct fake_machine *window = &fake.machines[FAKE_MACHINES + MACHINE_WINDOW], *counter = &fake.machines[FAKE_MACHINES];
    fake.now_us += WINDOW_US;
    window->rx[window->n_rx++] = 0;
    counter->rx[counter->n_rx++] = pulses;
    steps(4);
}

static void board_says_who_it_is(void)
{
    boot(&app_default);
    give(MSG_HELLO, 7, NULL, 0);
    steps(3);
    const uint8_t *hello = answer(MSG_HELLO | MSG_REPLY, 7);
    CHECK_EQUAL(hello[0], 1);
    CHECK_EQUAL(hello[1], BOARD_BUFFERS);
    CHECK(memcmp(hello + 12, "0123456789ABCDEF", 16) == 0);
    CHECK(hello[28] == 7 && memcmp(hello + 29, "default", 7) == 0);
}

static void board_tests_itself(void)
{
    boot(&app_default);
    give(MSG_TEST, 8, (const uint8_t *)"ping", 4);
    steps(3);
    const uint8_t *tested = answer(MSG_TEST | MSG_REPLY, 8);
    CHECK_EQUAL(le_get32(tested), 0);
    CHECK(memcmp(tested + 4, "ping", 4) == 0);
}

static void next_bitstream_comes_while_a_window_is_open(void)
{
    boot(&app_pulse_count);
    give_evaluation(1);
    load();
    CHECK(fake.sent[1] == 1 && fake.n_sent == 1 + 1000);
    give_evaluation(2);
    uint tasks = fake.tud_tasks;
    steps(5);
    CHECK_EQUAL(fake.tud_tasks, tasks + 5);
    end_window(2000);
    const uint8_t *result = answer(MSG_EVALUATE | MSG_REPLY, 1);
    CHECK_EQUAL(le_get32(result + 16), WINDOW_US);
    CHECK_EQUAL(le_get32(result + 20), EVALUATE_FIXED + 8 + 1000 + FRAME_OVERHEAD); /* what came in between */
    CHECK_EQUAL(le_get32(result + 28), 2000);
    load();
    end_window(1999);
    CHECK_EQUAL(le_get32(answer(MSG_EVALUATE | MSG_REPLY, 2) + 28), 1999);
}

static void usb_is_served_while_a_bitstream_is_loaded(void)
{
    boot(&app_pulse_count);
    give_evaluation(1);
    steps(4);
    CHECK_EQUAL(the_board.core.phase, CORE_LOADING);
    give(MSG_STATUS, 9, NULL, 0);
    steps(3);
    CHECK_EQUAL(answer(MSG_STATUS | MSG_REPLY, 9)[11], 1);
}

static void fpga_that_refuses_is_told_and_shown(void)
{
    boot(&app_pulse_count);
    give_evaluation(1);
    steps(4);
    fake.now_us += 2000;
    steps(4);
    for (int i = 0; i < 2; i++) {
        fake_dma_finish(the_board.cram.dma);
        steps(4);
    }
    for (int i = 0; i < 100; i++) {
        fake_clock_out();
        steps(4);
    }
    CHECK_EQUAL(le_get16(answer(MSG_FAILED, 1)), FAILED_CDONE);
    CHECK(fake.pins[PIN_LED_RED].out && fake.pins[PIN_LED_BLUE].out && !fake.pins[PIN_LED_GREEN].out);
    CHECK(!fake.pins[PIN_CRESET].level);
}

static void slow_host_gets_all_of_an_answer(void)
{
    boot(&app_default);
    give(MSG_HELLO, 7, NULL, 0);
    fake.tx_room = 10;
    steps(3);
    CHECK_EQUAL(fake.n_to_host, 10);
    fake.tx_room = SIZE_MAX;
    steps(1);
    answer(MSG_HELLO | MSG_REPLY, 7);
}

static void host_that_leaves_ends_its_evaluations(void)
{
    boot(&app_pulse_count);
    give_evaluation(1);
    steps(2);
    give(MSG_HELLO, 2, NULL, 0);
    fake.n_from_host -= 3;
    steps(2);
    tud_cdc_line_state_cb(0, false, false);
    CHECK_EQUAL(the_board.core.phase, CORE_IDLE);
    CHECK(!fake.pins[PIN_CRESET].level);
    tud_cdc_line_state_cb(0, true, true);
    give(MSG_HELLO, 3, NULL, 0);
    steps(3);
    answer(MSG_HELLO | MSG_REPLY, 3);
}

static void unplugging_is_a_host_that_leaves(void)
{
    boot(&app_pulse_count);
    give_evaluation(1);
    steps(2);
    tud_umount_cb();
    CHECK_EQUAL(the_board.core.phase, CORE_IDLE);
    boot(&app_pulse_count);
    give_evaluation(1);
    steps(2);
    tud_suspend_cb(false);
    CHECK_EQUAL(the_board.core.phase, CORE_IDLE);
}

static void host_that_slept_still_ends_its_evaluations_by_leaving(void)
{
    boot(&app_pulse_count);
    tud_suspend_cb(false);
    give_evaluation(1);
    steps(2);
    CHECK_EQUAL(the_board.core.phase, CORE_LOADING);
    tud_cdc_line_state_cb(0, false, false);
    CHECK_EQUAL(the_board.core.phase, CORE_IDLE);
}

static void board_hears_a_host_that_fell_asleep_with_its_queue_full(void)
{
    boot(&app_default);
    fake.usb_deaf = true;
    fake.usb_ready = false;
    tud_suspend_cb(false);
    steps(3);
    fake.usb_ready = true;
    tud_resume_cb();
    give(MSG_HELLO, 3, NULL, 0);
    steps(3);
    answer(MSG_HELLO | MSG_REPLY, 3);
}

static void set_baud(uint32_t baud)
{
    cdc_line_coding_t coding = {baud, 0, 0, 8};
    tud_cdc_line_coding_cb(0, &coding);
}

static void bus_that_is_reset_closes_the_port_without_a_word(void)
{
    boot(&app_pulse_count);
    give_evaluation(1);
    steps(2);
    tud_mount_cb(); /* the host, or its successor, begins from the beginning */
    CHECK_EQUAL(the_board.core.phase, CORE_IDLE);
    tud_cdc_line_state_cb(0, true, true);
    give(MSG_HELLO, 3, NULL, 0);
    steps(3);
    answer(MSG_HELLO | MSG_REPLY, 3);
    tud_cdc_line_state_cb(0, false, false);
    CHECK(!the_board.host_open);
}

/* What the first host that says HELLO reads in the log, or NULL. */
static const char *told_after_start(uint32_t chip_reset)
{
    static char text[TEXT_MAX + 1];
    struct frame_reader reader;
    struct frame_piece piece;
    size_t used = 0;
    fake_start();
    fake_powman.chip_reset = chip_reset;
    board_init(&the_board, &app_default);
    tud_cdc_line_state_cb(0, true, false);
    give(MSG_HELLO, 1, NULL, 0);
    steps(3);
    text[0] = '\0';
    frame_reader_init(&reader);
    while (used < fake.n_to_host) {
        used += frame_read(&reader, fake.to_host + used, fake.n_to_host - used, &piece);
        if (piece.event == FRAME_BODY && reader.header.type == MSG_LOG) {
            memcpy(text, piece.bytes + 1, piece.n - 1);
            text[piece.n - 1] = '\0';
        }
    }
    return text[0] == '\0' ? NULL : text;
}

static void board_tells_why_it_started_unless_it_was_asked_to(void)
{
    enum { POR = 1 << 16, BOR = 1 << 17, RUN = 1 << 18, BY_TIMER = 1, BY_FORCE = 2 };
    fake_watchdog = (watchdog_hw_t){0};
    CHECK(strstr(told_after_start(POR), "power came on") != NULL);
    CHECK(strstr(told_after_start(BOR), "brown-out") != NULL);
    CHECK(strstr(told_after_start(RUN), "RUN") != NULL);
    fake_watchdog.reason = BY_TIMER; /* and the scratch register is as watchdog_enable left it */
    CHECK(strstr(told_after_start(POR), "watchdog") != NULL);
    for (uint8_t to = 0; to < 2; to++) {
        leave_by_request(to);
        fake_watchdog.reason = BY_FORCE; /* by which the boot loader ends as well */
        CHECK(told_after_start(POR) == NULL);
    }
}

static void touch_starts_the_boot_loader_once_the_port_is_closed(void)
{
    boot(&app_default);
    set_baud(1200);
    steps(3);
    CHECK_EQUAL(fake_line("boot loader", 0), -1);
    tud_cdc_line_state_cb(0, false, false);
    steps(3);
    int at = fake_line("boot loader", 0);
    CHECK(at > 0 && strcmp(fake.log[at - 1], "watchdog off") == 0 && strcmp(fake.log[at - 2], "usb left") == 0);
    CHECK(!fake.pins[PIN_CRESET].level);
    CHECK_EQUAL(fake_line("boot loader", at + 1), -1);
}

static void touch_works_with_a_host_that_does_not_close(void)
{
    boot(&app_default);
    set_baud(1200);
    fake.now_us += BOARD_TOUCH_US;
    steps(1);
    CHECK(fake_line("boot loader", 0) > 0);
}

static void other_rates_are_no_touch(void)
{
    boot(&app_default);
    set_baud(1200);
    set_baud(115200);
    tud_cdc_line_state_cb(0, false, false);
    fake.now_us += 2 * BOARD_TOUCH_US;
    steps(3);
    CHECK_EQUAL(fake_line("boot loader", 0), -1);
}

static void reboot_is_answered_before_the_board_leaves(void)
{
    static const char *const ends[] = {"restart", "boot loader"};
    for (uint8_t to = 0; to < 2; to++) {
        boot(&app_default);
        give(MSG_REBOOT, 5, &to, 1);
        steps(3);
        answer(MSG_REBOOT | MSG_REPLY, 5);
        CHECK_EQUAL(fake_line("usb left", 0), -1);
        fake.now_us += BOARD_LEAVE_US;
        steps(3);
        CHECK(fake_line(ends[to], 0) > 0);
        CHECK_EQUAL(fake_line(ends[1 - to], 0), -1);
    }
}

static void every_round_feeds_the_watchdog(void)
{
    boot(&app_default);
    CHECK_EQUAL(fake_line("watchdog 2000 ms", 0), 0); /* before all that may hang */
    uint before = fake.watchdog_updates;
    steps(7);
    CHECK_EQUAL(fake.watchdog_updates, before + 7);
    set_baud(1200);
    tud_cdc_line_state_cb(0, false, false);
    steps(1);
    before = fake.watchdog_updates;
    steps(3);
    CHECK_EQUAL(fake.watchdog_updates, before); /* a restart that does not come is the watchdog's */
}

static void circuits_have_a_clock_of_48_mhz_from_the_start(void)
{
    boot(&app_default);
    CHECK(fake_line("clock 21 48000000 Hz", 0) > 0);
    CHECK_EQUAL(fake.pins[PIN_FPGA_CLOCK].function, GPIO_FUNC_CLOCK);
    boot(&app_console); /* which has no parameter for it */
    give_console(9600);
    steps(4);
    CHECK_EQUAL(fake_line("clock 21 48000000 Hz", fake_line("clock 21 48000000 Hz", 0) + 1), -1); /* it is left running */
}

static void clock_is_the_one_asked_for_before_the_circuit_starts(void)
{
    static const struct {
        uint16_t mhz;
        const char *line;
    } clocks[] = {{6, "clock 21 6000000 Hz"}, {12, "clock 21 12000000 Hz"}, {24, "clock 21 24000000 Hz"}};
    for (size_t i = 0; i < 3; i++) {
        boot(&app_pulse_count);
        give_clocked_evaluation(1, clocks[i].mhz);
        steps(4);
        int set = fake_line(clocks[i].line, 0), out_of_reset = fake_line("pin 31 high", 0);
        CHECK(set > 0 && (out_of_reset == -1 || out_of_reset > set));
        load();
        end_window(5);
        give_evaluation(2); /* and 48 MHz again, as nothing was said */
        steps(4);
        CHECK(fake_line("clock 21 48000000 Hz", set) > set);
    }
}

static void pin_35_is_let_go_where_no_clock_is_asked_for(void)
{
    boot(&app_pulse_count);
    give_clocked_evaluation(1, 0xffff);
    steps(4);
    const struct fake_pin *pin = &fake.pins[PIN_FPGA_CLOCK];
    CHECK(fake_line("no clock", 0) > 0);
    CHECK(pin->function == GPIO_FUNC_SIO && !pin->out && !pin->input && pin->pull_down);
    load();
    end_window(5);
    give_evaluation(2);
    steps(4);
    CHECK(pin->function == GPIO_FUNC_CLOCK && !pin->pull_down);
}

static void console_carries_bytes_to_and_from_the_fpga(void)
{
    boot(&app_console);
    give_console(9600);
    configure();
    answer(MSG_EVALUATE | MSG_REPLY, 1);
    CHECK(fake_line("uart 9600 baud", 0) > 0);
    give(MSG_APPLICATION_FIRST, 2, (const uint8_t *)"\0\0\0\0hi", 6);
    steps(3);
    CHECK_EQUAL(le_get32(answer(0xc0, 2)), 2);
    CHECK(fake.n_uart_out == 2 && memcmp(fake.uart_out, "hi", 2) == 0);
    memcpy(fake.uart_in, "yo", fake.n_uart_in = 2);
    fake.handler();
    steps(3);
    CHECK(memcmp(answer(0xc1, 0) + 4, "yo", 2) == 0);
}

static void device_descriptor_is_what_the_worker_looks_for(void)
{
    const uint8_t *device = tud_descriptor_device_cb();
    CHECK(device[0] == 18 && device[1] == 1);
    CHECK_EQUAL(le_get16(device + 8), 0x1209);
    CHECK_EQUAL(le_get16(device + 10), 0xb1c0);
    CHECK_EQUAL(device[17], 1);
}

static void texts_hold_the_serial(void)
{
    boot(&app_default);
    const uint16_t *serial = tud_descriptor_string_cb(tud_descriptor_device_cb()[16], 0x0409);
    CHECK_EQUAL(serial[0], 0x0300 | (2 + 2 * 16));
    for (int i = 0; i < 16; i++)
        CHECK_EQUAL(serial[1 + i], "0123456789ABCDEF"[i]);
    CHECK_EQUAL(tud_descriptor_string_cb(0, 0)[1], 0x0409);
    CHECK(tud_descriptor_string_cb(99, 0x0409) == NULL);
}

/* Every descriptor within the configuration has the length that its type has, and together they fill it. */
static void configuration_descriptor_is_whole(void)
{
    const uint8_t *all = tud_descriptor_configuration_cb(0);
    uint32_t total = le_get16(all + 2), at = 0, interfaces = 0, endpoints = 0, seen = 0;
    for (; at < total; at += all[at]) {
        const uint8_t *one = all + at;
        CHECK(one[0] >= 4);
        if (one[1] == 0x04) {
            CHECK(one[0] == 9 && one[2] == interfaces);
            CHECK_EQUAL(endpoints, 0); /* those of the one before are all there */
            interfaces++;
            endpoints = one[4];
        } else if (one[1] == 0x05) {
            uint32_t bit = 1u << ((one[2] & 15) + (one[2] & 0x80 ? 16 : 0));
            CHECK(one[0] == 7 && endpoints-- > 0 && !(seen & bit));
            CHECK(one[3] != 2 || le_get16(one + 4) == 64); /* bulk, at full speed */
            seen |= bit;
        }
    }
    CHECK_EQUAL(at, total);
    CHECK(interfaces == all[4] && endpoints == 0);
    CHECK(all[9] == 8 && all[10] == 0x0b && all[12] == interfaces); /* the port is one function */
}

int main(void)
{
    RUN(board_says_who_it_is);
    RUN(board_tests_itself);
    RUN(next_bitstream_comes_while_a_window_is_open);
    RUN(usb_is_served_while_a_bitstream_is_loaded);
    RUN(fpga_that_refuses_is_told_and_shown);
    RUN(slow_host_gets_all_of_an_answer);
    RUN(host_that_leaves_ends_its_evaluations);
    RUN(unplugging_is_a_host_that_leaves);
    RUN(host_that_slept_still_ends_its_evaluations_by_leaving);
    RUN(bus_that_is_reset_closes_the_port_without_a_word);
    RUN(board_tells_why_it_started_unless_it_was_asked_to);
    RUN(board_hears_a_host_that_fell_asleep_with_its_queue_full);
    RUN(touch_starts_the_boot_loader_once_the_port_is_closed);
    RUN(touch_works_with_a_host_that_does_not_close);
    RUN(other_rates_are_no_touch);
    RUN(reboot_is_answered_before_the_board_leaves);
    RUN(every_round_feeds_the_watchdog);
    RUN(circuits_have_a_clock_of_48_mhz_from_the_start);
    RUN(clock_is_the_one_asked_for_before_the_circuit_starts);
    RUN(pin_35_is_let_go_where_no_clock_is_asked_for);
    RUN(console_carries_bytes_to_and_from_the_fpga);
    RUN(device_descriptor_is_what_the_worker_looks_for);
    RUN(texts_hold_the_serial);
    RUN(configuration_descriptor_is_whole);
    return 0;
}
