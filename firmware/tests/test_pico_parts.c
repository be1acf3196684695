/* The pico2-ice's port, part by part, on a fake of the SDK: pins, order of calls, arithmetic. What the PIO programs do is tested by
 * tests/unit/test_firmware_pio.py. */
#include "board.h"
#include "check.h"
#include "fake_sdk.h"
#include "leds.h"
#include "machines.h"
#include "pins.h"
#include "timing.h"

struct port the_board;

static const uint8_t bitstream[] = {0xff, 0x00, 0x7e, 0xaa, 0x99, 0x7e};

static void cram_clock_is_never_above_its_limit(void)
{
    for (uint32_t hz = 1000000; hz <= 400000000; hz += 333333) {
        uint32_t divider = timing_cram_divider(hz);
        CHECK((uint64_t)hz <= (uint64_t)divider * CRAM_CYCLES * 25000000u);
        CHECK(divider == 1 || (uint64_t)hz > (uint64_t)(divider - 1) * CRAM_CYCLES * 25000000u); /* nor slower than need be */
    }
    CHECK_EQUAL(timing_cram_divider(150000000), 1);
    CHECK_EQUAL(timing_cram_divider(150000001), 2);
}

static void window_ticks_are_half_microseconds(void)
{
    CHECK_EQUAL(timing_window_divider(150000000), 75);
    CHECK_EQUAL(timing_window_divider(133333333), 0);
    CHECK_EQUAL(timing_window_ticks(1), 0);
    CHECK_EQUAL(timing_window_ticks(1000000), 1999998);
    CHECK_EQUAL(timing_window_ticks(60000000), 119999998);
}

static void sampling_times_fit_their_registers(void)
{
    CHECK_EQUAL(timing_sample_cycles(150000000, 100000), 1500);
    CHECK_EQUAL(timing_sample_cycles(150000000, 44100), 3401);
    CHECK_EQUAL(timing_sample_cycles(150000000, 100), 1500000);
    CHECK_EQUAL(timing_delay_cycles(150000000, 10000000), 1500000000);
    CHECK_EQUAL(timing_samples_us(150000000, 1500, 500), 5000);
    CHECK_EQUAL(timing_samples_us(150000000, 3401, 2000), 45347);
    CHECK_EQUAL(timing_samples_us(150000000, 1500000, 2000), 20000000);
}

static void thermometer_follows_the_datasheet(void)
{
    int16_t at_27 = timing_temperature(876); /* 0.7058 V */
    CHECK(at_27 > 2690 && at_27 < 2730);
    CHECK(timing_temperature(891) < at_27 - 600 && timing_temperature(891) > at_27 - 800); /* 12 mV more: 7 degrees less */
    CHECK(timing_temperature(0) > 12500);
    CHECK(timing_temperature(4095) < -4000);
}

static struct cram *new_cram(void)
{
    static struct cram cram;
    fake_start();
    memset(&cram, 0, sizeof cram);
    cram_init(&cram);
    return &cram;
}

static void fpga_is_held_in_reset_at_first(void)
{
    new_cram();
    CHECK(fake.pins[PIN_CRESET].out && !fake.pins[PIN_CRESET].level);
    CHECK(!fake.pins[PIN_CRAM_SS].out && fake.pins[PIN_CRAM_SS].pull_up);
    CHECK(!fake.pins[PIN_CRAM_SCK].out && !fake.pins[PIN_CRAM_SI].out && !fake.pins[PIN_CDONE].out);
}

/* Up to the moment at which the bits begin. */
static struct cram *cleared_at(uint32_t slower)
{
    struct cram *cram = new_cram();
    cram_start(cram, bitstream, sizeof bitstream, slower, fake.now_us);
    int low = fake_line("pin 5 low", 0);
    CHECK(low > fake_line("pin 31 low", 0));
    fake.now_us += 2;
    CHECK_EQUAL(cram_poll(cram, fake.now_us), LOAD_BUSY);
    CHECK_EQUAL(fake_line("pin 31 high", 0), -1);
    fake.now_us += 1;
    CHECK_EQUAL(cram_poll(cram, fake.now_us), LOAD_BUSY);
    CHECK(fake_line("pin 31 high", 0) > low); /* a slave, since it is selected as reset ends */
    fake.now_us += 1300;
    CHECK_EQUAL(cram_poll(cram, fake.now_us), LOAD_BUSY);
    CHECK_EQUAL(fake_line("dma 0 of 1", 0), -1);
    fake.now_us += 1;
    return cram;
}

static struct cram *cleared(void)
{
    return cleared_at(1);
}

/* The DMA channel is done, the queue is found empty, the state machine has stalled. */
static enum load_state shifted_out(struct cram *cram)
{
    enum load_state state = LOAD_BUSY;
    CHECK_EQUAL(cram_poll(cram, fake.now_us), LOAD_BUSY); /* not before */
    fake_dma_finish(cram->dma);
    for (int i = 0; i < 2; i++)
        state = cram_poll(cram, fake.now_us);
    return state;
}

static void pins_of_the_configuration_port_are_those_of_the_board(void)
{
    cleared();
    CHECK(fake.pins[PIN_CRAM_SCK].out && fake.pins[PIN_CRAM_SCK].level && fake.pins[PIN_CRAM_SCK].function == GPIO_FUNC_PIO);
    CHECK(fake.pins[PIN_CRAM_SI].out && fake.pins[PIN_CRAM_SI].function == GPIO_FUNC_PIO);
    CHECK_EQUAL(fake.machines[MACHINE_CRAM].out_pin, 4);
    CHECK_EQUAL(fake.machines[MACHINE_CRAM].side_pin, 6);
    CHECK_EQUAL(fake.machines[MACHINE_CRAM].divider, 1);
    CHECK(fake.machines[MACHINE_CRAM].enabled);
}

/* The bitstream is with the FPGA, and CDONE not yet high. */
static struct cram *bitstream_sent(uint cdone_after)
{
    struct cram *cram = cleared();
    fake.cdone_after = cdone_after;
    CHECK_EQUAL(cram_poll(cram, fake.now_us), LOAD_BUSY);
    CHECK_EQUAL(shifted_out(cram), LOAD_BUSY); /* the 8 clocks */
    CHECK_EQUAL(shifted_out(cram), LOAD_BUSY);
    return cram;
}

/* One clock more, and its end is noticed. */
static enum load_state clocked(struct cram *cram)
{
    fake_clock_out();
    CHECK_EQUAL(cram_poll(cram, fake.now_us), LOAD_BUSY);
    return cram_poll(cram, fake.now_us);
}

static void bitstream_is_sent_as_the_technical_note_says(void)
{
    struct cram *cram = cleared();
    CHECK_EQUAL(cram_poll(cram, fake.now_us), LOAD_BUSY);
    int from = fake_line("dma 0 of 1", 0);
    CHECK(from > 0 && strcmp(fake.log[from - 1], "pin 5 high") == 0); /* 8 clocks while deselected */
    CHECK_EQUAL(shifted_out(cram), LOAD_BUSY);
    CHECK_EQUAL(fake_line("pin 5 low", from), from + 1);
    CHECK_EQUAL(fake_line("dma 0 of 6", from), from + 2);
    CHECK_EQUAL(shifted_out(cram), LOAD_BUSY);
    CHECK_EQUAL(fake_line("pin 5 high", from), from + 3);
    CHECK_EQUAL(fake.n_sent, 1 + sizeof bitstream);
    CHECK(memcmp(fake.sent + 1, bitstream, sizeof bitstream) == 0);
}

static void clocks_end_49_after_cdone_whenever_that_rises(void)
{
    static const uint after[] = {1, 2, 49, 99, 100};
    for (size_t i = 0; i < sizeof after / sizeof *after; i++) {
        struct cram *cram = bitstream_sent(after[i]);
        while (!fake.pins[PIN_CDONE].level)
            CHECK_EQUAL(clocked(cram), LOAD_BUSY);
        CHECK_EQUAL(fake.clocks, after[i]); /* and none more before that was seen */
        fake_clock_out();
        CHECK_EQUAL(fake.clocks_since_done, 50); /* rising edges, so 49 periods */
        CHECK_EQUAL(cram_poll(cram, fake.now_us), LOAD_DONE);
        CHECK(fake.pins[PIN_CRESET].level && !fake.machines[MACHINE_CRAM].enabled);
    }
}

static void cdone_that_rises_with_the_last_bit_needs_no_clock_more(void)
{
    struct cram *cram = cleared();
    CHECK_EQUAL(cram_poll(cram, fake.now_us), LOAD_BUSY);
    shifted_out(cram);
    fake.pins[PIN_CDONE].level = true;
    CHECK_EQUAL(shifted_out(cram), LOAD_BUSY);
    fake_clock_out();
    CHECK_EQUAL(fake.clocks, 50);
    CHECK_EQUAL(cram_poll(cram, fake.now_us), LOAD_DONE);
}

static bool high_impedance(unsigned pin)
{
    return !fake.pins[pin].out && !fake.pins[pin].input && !fake.pins[pin].pull_down;
}

static void circuit_that_drives_the_configuration_port_meets_nobody(void)
{
    struct cram *cram = bitstream_sent(3);
    while (!fake.pins[PIN_CDONE].level) {
        CHECK(fake.pins[PIN_CRAM_SS].out && fake.pins[PIN_CRAM_SI].out);
        clocked(cram);
    }
    CHECK(high_impedance(PIN_CRAM_SI) && high_impedance(PIN_CRAM_SS)); /* before its pins come alive */
    CHECK_EQUAL(fake.machines[MACHINE_CRAM].set_pin, PIN_CRAM_SCK);
    fake_clock_out();
    CHECK(!fake.pins[PIN_CRAM_SCK].out); /* by the state machine, as the last clock ends: nobody has looked yet */
    CHECK_EQUAL(cram_poll(cram, fake.now_us), LOAD_DONE);
    CHECK(high_impedance(PIN_CRAM_SCK) && high_impedance(PIN_CRAM_SI) && high_impedance(PIN_CRAM_SS));
    CHECK(fake.pins[PIN_CRAM_SS].pull_up && !fake.pins[PIN_CRAM_SI].pull_up && !fake.pins[PIN_CRAM_SCK].pull_up);
}

static void edges_of_the_configuration_port_are_those_chosen(void)
{
    cleared();
    const struct fake_pin *clock = &fake.pins[PIN_CRAM_SCK];
    CHECK(clock->drive == GPIO_DRIVE_STRENGTH_8MA && clock->slew == GPIO_SLEW_RATE_FAST);
    static const unsigned calm[] = {PIN_CRAM_SI, PIN_CRAM_SS, PIN_CRESET};
    for (size_t i = 0; i < 3; i++)
        CHECK(fake.pins[calm[i]].drive == GPIO_DRIVE_STRENGTH_4MA && fake.pins[calm[i]].slew == GPIO_SLEW_RATE_SLOW);
}

static void configuration_clock_can_be_slower(void)
{
    struct cram *cram = cleared_at(4);
    CHECK_EQUAL(fake.machines[MACHINE_CRAM].divider, 4); /* 6.25 MHz */
    fake.cdone_after = 1;
    CHECK_EQUAL(cram_poll(cram, fake.now_us), LOAD_BUSY);
    shifted_out(cram);
    shifted_out(cram);
    CHECK_EQUAL(fake.machines[MACHINE_CRAM].divider, 4);
    clocked(cram);
    CHECK_EQUAL(fake.machines[MACHINE_CRAM].divider, 4); /* to the end */
    cram_start(cram, bitstream, sizeof bitstream, 1, fake.now_us);
    CHECK_EQUAL(fake.machines[MACHINE_CRAM].divider, 1);
}

static void cdone_that_stays_low_for_100_clocks_fails_the_load(void)
{
    struct cram *cram = bitstream_sent(0);
    for (int i = 0; i < 99; i++)
        CHECK_EQUAL(clocked(cram), LOAD_BUSY);
    CHECK_EQUAL(clocked(cram), LOAD_FAILED);
    CHECK_EQUAL(fake.clocks, 100);
    CHECK(!fake.pins[PIN_CRESET].level);
    CHECK_EQUAL(cram_poll(cram, fake.now_us), LOAD_FAILED);
}

static void cdone_that_falls_again_fails_the_load(void)
{
    struct cram *cram = bitstream_sent(1);
    clocked(cram);
    fake_clock_out();
    fake.pins[PIN_CDONE].level = false;
    CHECK_EQUAL(cram_poll(cram, fake.now_us), LOAD_FAILED);
    CHECK(!fake.pins[PIN_CRESET].level);
}

static void cdone_that_is_high_too_early_fails_the_load(void)
{
    struct cram *cram = cleared();
    fake.pins[PIN_CDONE].level = true;
    CHECK_EQUAL(cram_poll(cram, fake.now_us), LOAD_STUCK);
    CHECK_EQUAL(cram_poll(cram, fake.now_us), LOAD_STUCK);
    CHECK_EQUAL(fake_line("dma 0 of 1", 0), -1);
}

static void loads_can_be_given_up_and_begun_again(void)
{
    struct cram *cram = cleared();
    cram_poll(cram, fake.now_us);
    cram_hold(cram);
    CHECK(!fake.channels[cram->dma].busy && !fake.machines[MACHINE_CRAM].enabled && !fake.pins[PIN_CRESET].level);
    cram_start(cram, bitstream, sizeof bitstream, 1, fake.now_us);
    CHECK_EQUAL(cram_poll(cram, fake.now_us), LOAD_BUSY);
}

static struct counter *new_counter(void)
{
    static struct counter counter;
    fake_start();
    counter_init(&counter);
    return &counter;
}

enum { PIO_1 = FAKE_MACHINES, PIO_2 = 2 * FAKE_MACHINES };

static struct fake_machine *window(void)
{
    return &fake.machines[PIO_1 + MACHINE_WINDOW];
}

static const uint8_t pulses_pin[] = {27};

static void counting_starts_with_a_closed_gate(void)
{
    struct counter *counter = new_counter();
    const struct fake_machine *edges = &fake.machines[PIO_1];
    fake.lines = 0;
    counter_start(counter, pulses_pin, 1, 1000000);
    CHECK_EQUAL(edges->in_pin, 20);
    CHECK_EQUAL(edges->divider, 1);
    CHECK_EQUAL(edges->flag, 4);
    CHECK_EQUAL(edges->executed[0], pio_encode_mov_not(pio_x, pio_null));
    CHECK(edges->enabled && window()->enabled);
    CHECK_EQUAL(window()->divider, 75);
    CHECK_EQUAL(window()->tx[0], 1999998);
    CHECK_EQUAL(fake_line("flag 4 clear", 0), 0);
}

static void end_window_with(const struct counter *counter, const uint32_t *pulses)
{
    static const unsigned machines[] = {PIO_1, PIO_1 + 1, PIO_1 + 2, PIO_2, PIO_2 + 1, PIO_2 + 2, PIO_2 + 3, MACHINE_COUNTER};
    window()->rx[window()->n_rx++] = 0;
    for (unsigned i = 0; i < counter->n; i++) {
        struct fake_machine *machine = &fake.machines[machines[i]];
        machine->rx[machine->n_rx++] = pulses[i];
    }
}

static void count_is_there_when_the_window_is_over(void)
{
    struct counter *counter = new_counter();
    const struct fake_machine *edges = &fake.machines[PIO_1];
    uint32_t pulses = 0, window_us = 0;
    counter_start(counter, pulses_pin, 1, 250000);
    CHECK(!counter_read(counter, &pulses, &window_us));
    end_window_with(counter, (const uint32_t[]){500});
    CHECK(counter_read(counter, &pulses, &window_us));
    CHECK_EQUAL(edges->executed[1], pio_encode_mov_not(pio_isr, pio_x));
    CHECK_EQUAL(edges->executed[2], pio_encode_push(false, false));
    CHECK_EQUAL(pulses, 500);
    CHECK_EQUAL(window_us, 250000);
    CHECK(!counter_read(counter, &pulses, &window_us));
}

/* Each PIO knows the window's flag, that of PIO 1, by another name. */
static void eight_pins_are_counted_in_one_window(void)
{
    static const uint8_t pins[] = {9, 11, 18, 19, 20, 21, 23, 25};
    static const struct {
        unsigned machine, gpio, flag;
    } expected[] = {
        {PIO_1, 28, 4},
        {PIO_1 + 1, 29, 4},
        {PIO_1 + 2, 27, 4},
        {PIO_2, 23, 0x08 | 4},
        {PIO_2 + 1, 22, 0x08 | 4},
        {PIO_2 + 2, 26, 0x08 | 4},
        {PIO_2 + 3, 25, 0x08 | 4},
        {MACHINE_COUNTER, 30, 0x10 | 4},
    };
    struct counter *counter = new_counter();
    uint32_t pulses[8], window_us;
    counter_start(counter, pins, 8, 1000);
    for (unsigned i = 0; i < 8; i++) {
        const struct fake_machine *machine = &fake.machines[expected[i].machine];
        CHECK(machine->enabled && strcmp(machine->name, "counter") == 0);
        CHECK_EQUAL(machine->in_pin, expected[i].gpio);
        CHECK_EQUAL(machine->flag, expected[i].flag);
        CHECK(fake.pins[expected[i].gpio].input && fake.pins[expected[i].gpio].pull_up);
    }
    end_window_with(counter, (const uint32_t[]){1, 2, 3, 4, 5, 6, 7, 8});
    CHECK(counter_read(counter, pulses, &window_us));
    for (unsigned i = 0; i < 8; i++) {
        CHECK_EQUAL(pulses[i], i + 1);
        CHECK(!fake.machines[expected[i].machine].enabled);
        CHECK(!fake.pins[expected[i].gpio].input && !fake.pins[expected[i].gpio].pull_up);
    }
}

static void pins_that_are_not_counted_are_left_alone(void)
{
    static const uint8_t pins[] = {26, 27};
    struct counter *counter = new_counter();
    counter_start(counter, pins, 2, 1000);
    CHECK(fake.pins[24].input && fake.pins[20].input);
    for (unsigned gpio = 22; gpio <= 30; gpio++)
        CHECK(gpio == 24 || (!fake.pins[gpio].input && !fake.pins[gpio].pull_up && !fake.pins[gpio].out));
    CHECK(!fake.machines[PIO_1 + 2].enabled && !fake.machines[PIO_2].enabled);
    counter_start(counter, pulses_pin, 1, 1000); /* and those of the last time no more */
    CHECK(!fake.pins[24].input && fake.pins[20].input && !fake.machines[PIO_1 + 1].enabled);
}

/* Erratum RP2350-E9: an input that nobody drives sits at 2 V or so, where noise may be counted; a pull-up holds it high. */
static void pin_that_nobody_drives_is_held_high_while_it_is_counted(void)
{
    struct counter *counter = new_counter();
    const struct fake_pin *pin = &fake.pins[PIN_ICE_27];
    CHECK(!pin->input && !pin->pull_up && !pin->pull_down && !pin->out);
    counter_start(counter, pulses_pin, 1, 1000000);
    CHECK(pin->input && pin->pull_up && !pin->out);
    counter_stop(counter);
    CHECK(!pin->input && !pin->pull_up && !pin->pull_down && !pin->out);
}

static void stopped_count_leaves_no_gate_open(void)
{
    struct counter *counter = new_counter();
    uint32_t pulses, window_us;
    counter_start(counter, pulses_pin, 1, 1000000);
    int from = fake.lines;
    counter_stop(counter);
    CHECK_EQUAL(fake_line("flag 4 clear", from), from);
    CHECK(!fake.machines[PIO_1].enabled && !window()->enabled);
    CHECK(!counter_read(counter, &pulses, &window_us));
}

static struct sampler *new_sampler(void)
{
    static struct sampler sampler;
    fake_start();
    sampler_init(&sampler);
    return &sampler;
}

static void samples_are_taken_by_dma_and_paced_by_pio(void)
{
    struct sampler *sampler = new_sampler();
    uint16_t samples[500];
    uint32_t window_us = 0;
    sampler_start(sampler, 100, 100000, samples, 500);
    const struct fake_machine *pacer = &fake.machines[MACHINE_SAMPLER];
    CHECK_EQUAL(pacer->tx[0], 15000);
    CHECK_EQUAL(pacer->tx[1], 1496); /* and 4 of its loop */
    CHECK_EQUAL(pacer->tx[2], 0x1007); /* channel 1, once, sensor and ADC on */
    const struct fake_channel *starts = &fake.channels[sampler->start_dma], *keeps = &fake.channels[sampler->sample_dma];
    CHECK(starts->to == &adc_hw->cs && starts->from == &pio0->rxf[MACHINE_SAMPLER] && !starts->to_moves && !starts->from_moves);
    CHECK(starts->size == DMA_SIZE_32 && starts->dreq == pio_get_dreq(pio0, MACHINE_SAMPLER, false));
    CHECK(keeps->to == samples && keeps->from == &adc_hw->fifo && keeps->to_moves && !keeps->from_moves);
    CHECK(keeps->size == DMA_SIZE_16 && keeps->dreq == DREQ_ADC && keeps->n == 500 && starts->n == 500);
    CHECK(!sampler_done(sampler, &window_us));
    fake_dma_finish(sampler->sample_dma);
    CHECK(sampler_done(sampler, &window_us));
    CHECK_EQUAL(window_us, 5000);
    CHECK(!sampler_done(sampler, &window_us) && !fake.adc_fifo && !pacer->enabled);
}

static void words_left_over_start_no_conversion_of_the_next_samples(void)
{
    struct sampler *sampler = new_sampler();
    struct fake_machine *pacer = &fake.machines[MACHINE_SAMPLER];
    uint16_t samples[2];
    sampler_start(sampler, 0, 1000, samples, 2);
    fake_dma_finish(sampler->sample_dma);
    while (pacer->n_rx < 4)
        pacer->rx[pacer->n_rx++] = 0x1007;
    sampler_start(sampler, 0, 1000, samples, 2); /* the fake looks */
    CHECK_EQUAL(pacer->n_rx, 0);
}

static void thermometer_keeps_off_an_adc_that_samples(void)
{
    struct sampler *sampler = new_sampler();
    uint16_t samples[2];
    int16_t before = sampler_temperature(sampler);
    CHECK_EQUAL(fake.adc_input, 8);
    sampler_start(sampler, 0, 100, samples, 2);
    fake.adc = 800;
    CHECK_EQUAL(sampler_temperature(sampler), before);
    sampler_stop(sampler);
    CHECK(sampler_temperature(sampler) > before);
    CHECK_EQUAL(fake.pins[41].function, GPIO_FUNC_ANALOG);
}

static struct fpga_uart *open_uart(void)
{
    static struct fpga_uart uart;
    fake_start();
    memset(&uart, 0, sizeof uart);
    fpga_uart_init(&uart);
    fpga_uart_open(&uart, 115200);
    return &uart;
}

static void serial_port_has_the_pins_of_uart_0(void)
{
    struct fpga_uart *uart = open_uart();
    CHECK(fake_line("uart 115200 baud", 0) >= 0 && fake.irq_enabled);
    CHECK(fake.pins[28].function == GPIO_FUNC_UART && fake.pins[29].function == GPIO_FUNC_UART && fake.pins[29].pull_up);
    fpga_uart_close(uart);
    CHECK(!fake.irq_enabled && fake.pins[28].function == GPIO_FUNC_SIO && !fake.pins[28].out && !fake.pins[29].pull_up);
    CHECK(!fake.pins[28].input && !fake.pins[29].input); /* which feed nothing into the circuit */
}

static void bytes_of_the_fpga_wait_until_they_are_read(void)
{
    struct fpga_uart *uart = open_uart();
    uint8_t read[8];
    uint32_t lost;
    memcpy(fake.uart_in, "abcdef", fake.n_uart_in = 6);
    fake.handler();
    CHECK_EQUAL(fpga_uart_read(uart, read, 4, &lost), 4);
    CHECK_EQUAL(fpga_uart_read(uart, read + 4, 4, &lost), 2);
    CHECK(memcmp(read, "abcdef", 6) == 0);
    CHECK_EQUAL(fpga_uart_read(uart, read, 4, &lost), 0);
    CHECK_EQUAL(lost, 0);
}

static void fpga_says(const char *text)
{
    size_t n = strlen(text);
    memcpy(fake.uart_in + fake.n_uart_in, text, n);
    fake.n_uart_in += n;
    fake.handler();
}

static void flood_of_the_fpga_loses_what_comes_last(void)
{
    struct fpga_uart *uart = open_uart();
    static uint8_t read[2 * FPGA_UART_RING];
    uint32_t lost;
    for (size_t i = 0; i < FPGA_UART_RING + 10; i++)
        fake.uart_in[fake.n_uart_in++] = (uint8_t)(i * 7);
    fake.handler();
    CHECK_EQUAL(fpga_uart_read(uart, read, 100, &lost), 100);
    fpga_says("there is room, but the loss comes first");
    CHECK_EQUAL(fpga_uart_read(uart, read + 100, sizeof read, &lost), FPGA_UART_RING - 100);
    CHECK(memcmp(read, fake.uart_in, FPGA_UART_RING) == 0);
    CHECK_EQUAL(lost, 0);
    CHECK_EQUAL(fpga_uart_read(uart, read, sizeof read, &lost), 0);
    CHECK_EQUAL(lost, 10 + 39);
    fpga_says("after");
    CHECK_EQUAL(fpga_uart_read(uart, read, sizeof read, &lost), 5);
    CHECK(lost == 0 && memcmp(read, "after", 5) == 0);
}

static void bytes_that_the_uart_itself_lost_are_a_loss(void)
{
    struct fpga_uart *uart = open_uart();
    uint8_t read[16];
    uint32_t lost;
    fake.uart_overrun_at = 2;
    fpga_says("abcd");
    CHECK_EQUAL(fpga_uart_read(uart, read, sizeof read, &lost), 2);
    CHECK_EQUAL(fpga_uart_read(uart, read, sizeof read, &lost), 0);
    CHECK_EQUAL(lost, 3); /* c and d, and one at least between b and c */
    fpga_uart_open(uart, 9600);
    CHECK_EQUAL(fpga_uart_read(uart, read, sizeof read, &lost), 0);
    CHECK_EQUAL(lost, 0); /* a new port has lost nothing */
}

static void bytes_for_the_fpga_go_as_the_uart_takes_them(void)
{
    struct fpga_uart *uart = open_uart();
    static uint8_t many[FPGA_UART_RING + 1];
    fake.uart_room = 3;
    CHECK_EQUAL(fpga_uart_write(uart, (const uint8_t *)"hello", 5), 5);
    fpga_uart_service(uart);
    CHECK_EQUAL(fake.n_uart_out, 3);
    fake.uart_room = SIZE_MAX;
    fpga_uart_service(uart);
    CHECK(fake.n_uart_out == 5 && memcmp(fake.uart_out, "hello", 5) == 0);
    CHECK_EQUAL(fpga_uart_write(uart, many, sizeof many), FPGA_UART_RING);
    fpga_uart_close(uart);
    CHECK_EQUAL(fpga_uart_write(uart, many, 1), 0);
}

static void led_says_the_state(void)
{
    CHECK_EQUAL(leds_colour(false, true, true), LED_RED);
    CHECK_EQUAL(leds_colour(true, false, false), LED_GREEN);
    CHECK_EQUAL(leds_colour(true, true, true), LED_BLUE);
    CHECK_EQUAL(leds_colour(true, false, true), LED_RED | LED_BLUE);
    fake_start();
    leds_init();
    leds_show(LED_GREEN);
    CHECK(fake.pins[0].out && !fake.pins[0].level && !fake.pins[1].out && !fake.pins[9].out);
    leds_show(0);
    CHECK(!fake.pins[0].out);
}

int main(void)
{
    RUN(cram_clock_is_never_above_its_limit);
    RUN(window_ticks_are_half_microseconds);
    RUN(sampling_times_fit_their_registers);
    RUN(thermometer_follows_the_datasheet);
    RUN(fpga_is_held_in_reset_at_first);
    RUN(pins_of_the_configuration_port_are_those_of_the_board);
    RUN(bitstream_is_sent_as_the_technical_note_says);
    RUN(clocks_end_49_after_cdone_whenever_that_rises);
    RUN(cdone_that_rises_with_the_last_bit_needs_no_clock_more);
    RUN(circuit_that_drives_the_configuration_port_meets_nobody);
    RUN(edges_of_the_configuration_port_are_those_chosen);
    RUN(configuration_clock_can_be_slower);
    RUN(cdone_that_stays_low_for_100_clocks_fails_the_load);
    RUN(cdone_that_falls_again_fails_the_load);
    RUN(cdone_that_is_high_too_early_fails_the_load);
    RUN(loads_can_be_given_up_and_begun_again);
    RUN(counting_starts_with_a_closed_gate);
    RUN(count_is_there_when_the_window_is_over);
    RUN(eight_pins_are_counted_in_one_window);
    RUN(pins_that_are_not_counted_are_left_alone);
    RUN(pin_that_nobody_drives_is_held_high_while_it_is_counted);
    RUN(stopped_count_leaves_no_gate_open);
    RUN(samples_are_taken_by_dma_and_paced_by_pio);
    RUN(words_left_over_start_no_conversion_of_the_next_samples);
    RUN(thermometer_keeps_off_an_adc_that_samples);
    RUN(serial_port_has_the_pins_of_uart_0);
    RUN(bytes_of_the_fpga_wait_until_they_are_read);
    RUN(flood_of_the_fpga_loses_what_comes_last);
    RUN(bytes_that_the_uart_itself_lost_are_a_loss);
    RUN(bytes_for_the_fpga_go_as_the_uart_takes_them);
    RUN(led_says_the_state);
    return 0;
}
