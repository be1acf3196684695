/* The virtual FPGA: circuits of tests/circuits count what an independent simulation of their sources says (counts.txt there), and no
 * bitstream, however bad, does harm. Arguments: the directories of the circuits and of the examples. */
#include <stdint.h>

#include "check.h"
#include "chipdb.h"
#include "hash.h"
#include "design.h"
#include "ice40.h"
#include "run.h"

enum { FILE_MAX = 200000 };

static const char *circuits, *examples;
static struct chip *chip;
static struct decoder *decoder;
static uint8_t bitstream[FILE_MAX], mutant[FILE_MAX];
static size_t length;
static uint64_t draws;

static uint64_t draw(void)
{
    return hash_mix(draws++);
}

static void load(const char *directory, const char *name)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s.bin", directory, name);
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        fprintf(stderr, "%s can't be read\n", path);
        exit(1);
    }
    length = fread(bitstream, 1, sizeof bitstream, file);
    fclose(file);
    CHECK(length > 100000 && length < sizeof bitstream);
}

static struct ice40 *open_fpga(const uint8_t *pins, uint32_t n_pins, uint32_t clock_hz)
{
    char reason[ICE40_TEXT] = "";
    struct ice40_setup setup = {.pins = pins, .n_pins = n_pins, .clock_hz = clock_hz, .work = 10 * ICE40_WORK};
    struct ice40 *fpga = ice40_open(decoder, bitstream, length, &setup, reason);
    if (fpga == NULL)
        fprintf(stderr, "not simulated: %s\n", reason);
    CHECK(fpga != NULL);
    return fpga;
}

static double count_27(double seconds, uint32_t clock_hz)
{
    static const uint8_t pin = 27;
    struct ice40 *fpga = open_fpga(&pin, 1, clock_hz);
    CHECK_EQUAL(ice40_advance(fpga, seconds), ICE40_SIMULATED);
    double pulses = ice40_pulses(fpga, 0);
    ice40_close(fpga);
    return pulses;
}

/* A line of counts.txt. */
struct line {
    char name[64];
    double seconds;
    uint32_t n_pins;
    uint8_t pins[ICE40_PINS_MAX];
    long counts[ICE40_PINS_MAX];
};

static bool parse(char *text, struct line *line)
{
    char *rest = NULL, *word = strtok_r(text, " \n", &rest);
    if (word == NULL || *word == '#')
        return false;
    *line = (struct line){0};
    snprintf(line->name, sizeof line->name, "%s", word);
    line->seconds = atof(strtok_r(NULL, " \n", &rest)) / 1e6;
    while ((word = strtok_r(NULL, " \n", &rest)) != NULL) {
        unsigned pin;
        CHECK(sscanf(word, "%u=%ld", &pin, &line->counts[line->n_pins]) == 2);
        line->pins[line->n_pins++] = (uint8_t)pin;
    }
    return true;
}

static int each_line(void (*visit)(const struct line *line))
{
    char path[1024], text[512];
    snprintf(path, sizeof path, "%s/counts.txt", circuits);
    FILE *file = fopen(path, "r");
    CHECK(file != NULL);
    int n = 0;
    while (fgets(text, sizeof text, file) != NULL) {
        struct line line;
        if (!parse(text, &line))
            continue;
        load(circuits, line.name);
        visit(&line);
        n++;
    }
    fclose(file);
    return n;
}

static void compare_counts(const struct line *line)
{
    struct ice40 *fpga = open_fpga(line->pins, line->n_pins, 48000000);
    CHECK_EQUAL(ice40_advance(fpga, line->seconds), ICE40_SIMULATED);
    for (uint32_t i = 0; i < line->n_pins; i++)
        if ((long)ice40_pulses(fpga, i) != line->counts[i]) {
            fprintf(stderr, "%s, pin %u: %.0f, not %ld\n", line->name, line->pins[i], ice40_pulses(fpga, i), line->counts[i]);
            exit(1);
        }
    ice40_close(fpga);
}

static void circuits_count_what_a_simulation_of_their_sources_counts(void)
{
    CHECK(each_line(compare_counts) >= 20);
}

static void do_nothing(void *context, const struct run *run)
{
    (void)context;
    (void)run;
}

/* 3 ms are enough to come to the stretches that are passed over; a circuit of many gates has to do with less. */
static void compare_with_steps(const struct line *line)
{
    char text[NETLIST_TEXT];
    struct design *design = design_open(decoder, bitstream, length, line->pins, line->n_pins, 48000000, text);
    CHECK(design != NULL);
    struct run *passing = run_open(design, UINT64_MAX), *stepping = run_open(design, UINT64_MAX);
    for (int part = 1; part <= 3; part++) {
        uint64_t ticks = design->ticks_per_second / (1000 + 40 * design->n_gates) * (uint64_t)part;
        CHECK_EQUAL(run_until(passing, ticks), RUN_GOOD);
        CHECK_EQUAL(run_each(stepping, ticks, do_nothing, NULL), RUN_GOOD);
        for (uint32_t i = 0; i < line->n_pins; i++) {
            CHECK_EQUAL(passing->pulses[i], stepping->pulses[i]);
            CHECK_EQUAL(passing->values[design->netlist.pins[i]], stepping->values[design->netlist.pins[i]]);
        }
    }
    run_close(passing);
    run_close(stepping);
    design_close(design);
}

static void what_is_passed_over_counts_as_if_it_were_stepped_through(void)
{
    each_line(compare_with_steps);
}

static void example_circuits_have_their_frequencies(void)
{
    static const struct {
        const char *name;
        long hz;
    } known[] = {
        {"square_2khz", 2000},
        {"square_8khz", 8000},
        {"square_32khz", 32000},
        {"bursts", 4500},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        load(examples, known[i].name);
        CHECK_EQUAL(count_27(1, 48000000), known[i].hz);
        CHECK_EQUAL(count_27(10, 48000000), 10 * known[i].hz);
    }
}

static void a_clock_of_another_frequency_at_pin_35_counts_in_proportion(void)
{
    load(circuits, "divider_pin");
    CHECK_EQUAL(count_27(0.299, 48000000), 24000);
    CHECK_EQUAL(count_27(0.299, 12000000), 6000);
    CHECK_EQUAL(count_27(1, 0), 0);
}

static void windows_that_follow_one_another_count_as_one(void)
{
    static const uint8_t pin = 27;
    load(circuits, "restarted_24");
    struct ice40 *fpga = open_fpga(&pin, 1, 48000000);
    double last = 0;
    for (int i = 1; i <= 30; i++) {
        CHECK_EQUAL(ice40_advance(fpga, i * 0.07), ICE40_SIMULATED);
        CHECK(ice40_pulses(fpga, 0) >= last && ice40_pulses(fpga, 0) <= last + 1);
        last = ice40_pulses(fpga, 0);
    }
    CHECK_EQUAL(last, count_27(2.1, 48000000));
    ice40_close(fpga);
}

static void check_reason(const char *name, const char *reason)
{
    static const uint8_t pin = 27;
    char found[ICE40_TEXT] = "";
    struct ice40_setup setup = {.pins = &pin, .n_pins = 1, .clock_hz = 48000000};
    load(circuits, name);
    CHECK(ice40_open(decoder, bitstream, length, &setup, found) == NULL);
    if (strncmp(found, reason, strlen(reason)) != 0)
        fprintf(stderr, "%s: %s\n", name, found);
    CHECK(strncmp(found, reason, strlen(reason)) == 0);
}

static void what_cannot_be_simulated_is_named(void)
{
    check_reason("ring", "a loop of 3 gates without a flip-flop");
    check_reason("latch", "a loop of 2 gates without a flip-flop");
    check_reason("spi", "the SPI block at tile");
    check_reason("i2c", "the I2C block at tile");
    check_reason("led_pwm", "the LED driver's PWM at tile");
    check_reason("trimmed", "a trimmed high-frequency oscillator");
    check_reason("asleep", "an SPRAM that is put to sleep");
}

/* A maximal sequence of 20 bits rises 2^18 times in 2^20 - 1 cycles, here of 24 MHz. */
static void a_sequence_of_a_million_steps_is_exact_within_the_work_of_a_board(void)
{
    static const uint8_t pin = 25;
    enum { CYCLES = (1 << 20) - 1, RISES = 1 << 18 };
    char reason[ICE40_TEXT];
    struct ice40_setup setup = {.pins = &pin, .n_pins = 1};
    load(circuits, "lfsr");
    struct ice40 *fpga = ice40_open(decoder, bitstream, length, &setup, reason);
    CHECK(fpga != NULL);
    CHECK_EQUAL(ice40_advance(fpga, 10.0 * CYCLES / 24e6), ICE40_SIMULATED);
    CHECK_EQUAL(ice40_pulses(fpga, 0), 10 * RISES);
    CHECK(ice40_period(fpga) * 24e6 > CYCLES - 0.5 && ice40_period(fpga) * 24e6 < CYCLES + 0.5);
    ice40_close(fpga);
}

static void work_without_end_is_extrapolated(void)
{
    static const uint8_t pin = 25;
    char reason[ICE40_TEXT];
    struct ice40_setup setup = {.pins = &pin, .n_pins = 1, .clock_hz = 48000000, .work = 500000};
    load(circuits, "lfsr");
    struct ice40 *fpga = ice40_open(decoder, bitstream, length, &setup, reason);
    CHECK(fpga != NULL);
    CHECK_EQUAL(ice40_advance(fpga, 0.5), ICE40_EXTRAPOLATED);
    CHECK(ice40_pulses(fpga, 0) > 2900000 && ice40_pulses(fpga, 0) < 3100000); /* a quarter of 24 MHz, half a second */
    ice40_close(fpga);
}

/* The file without what it says of block RAMs, as `icepack -n` writes it. */
static void leave_out_rams(void)
{
    size_t at = 0, kept = 0, width = 0, height = 0;
    while (memcmp(bitstream + at, "\x7e\xaa\x99\x7e", 4) != 0)
        at++;
    at += 4;
    kept = at;
    while (at < length) {
        unsigned n = bitstream[at] & 0xf, opcode = bitstream[at] >> 4;
        size_t value = 0, start = at;
        for (unsigned i = 0; i < n; i++)
            value = value << 8 | bitstream[at + 1 + i];
        at += 1 + n;
        width = opcode == 6 ? value + 1 : width;
        height = opcode == 7 ? value : height;
        bool is_block = opcode == 0 && (value == 1 || value == 3);
        if (is_block)
            at += width * height / 8 + 2;
        if (is_block && value == 3)
            continue;
        memmove(bitstream + kept, bitstream + start, at - start);
        kept += at - start;
    }
    length = kept;
}

static void a_block_ram_without_content_holds_zeros(void)
{
    load(examples, "bursts");
    size_t whole = length;
    leave_out_rams();
    CHECK(length < whole - 10000);
    CHECK_EQUAL(count_27(1, 48000000), 0);
    load(circuits, "divider_pin");
    leave_out_rams();
    CHECK_EQUAL(count_27(0.299, 48000000), 24000);
}

static void run_mutant(size_t n)
{
    static const uint8_t pins[] = {27, 25, 26, 23, 2, 3, 35, 39};
    char reason[ICE40_TEXT] = "";
    struct ice40_setup setup = {.pins = pins, .n_pins = sizeof pins, .clock_hz = 48000000, .work = 100000};
    struct ice40 *fpga = ice40_open(decoder, mutant, n, &setup, reason);
    if (fpga == NULL) {
        CHECK(reason[0] != '\0');
        return;
    }
    ice40_advance(fpga, 0.01);
    for (uint32_t i = 0; i < setup.n_pins; i++)
        CHECK(ice40_pulses(fpga, i) >= 0);
    ice40_close(fpga);
}

static void flip_bits(void)
{
    enum { HEAD = 40 };
    memcpy(mutant, bitstream, length);
    for (uint64_t n = (uint64_t)1 << draw() % 14; n > 0; n--) {
        uint64_t bit = HEAD * 8 + draw() % ((length - 16000 - HEAD) * 8); /* of the CRAM */
        mutant[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

static void mutate(const struct line *line)
{
    (void)line;
    for (int i = 0; i < 12; i++) {
        flip_bits();
        run_mutant(length);
    }
    run_mutant(draw() % length);
}

static void mutants_do_no_harm(void)
{
    each_line(mutate);
}

/* Settings of the DSP blocks, inputs and clocks: bits of the outermost columns of tiles. */
static void dsp_settings_of_any_kind_do_no_harm(void)
{
    static const char *const names[] = {"mac_products", "mac_sums", "mac_random", "multiply"};
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        load(circuits, names[i]);
        for (int k = 0; k < 40; k++) {
            memcpy(mutant, bitstream, length);
            for (int n = 0; n < 200; n++) {
                size_t row = draw() % 600, bit = 40 * 8 + row * CONFIG_CRAM_WIDTH + draw() % 54;
                mutant[bit / 8] ^= (uint8_t)(1u << bit % 8);
            }
            run_mutant(length);
        }
    }
}

static void random_bits_do_no_harm(void)
{
    load(circuits, "levels");
    for (int i = 0; i < 20; i++) {
        memcpy(mutant, bitstream, length);
        for (size_t k = 40; k < length - 16000; k++)
            mutant[k] = (uint8_t)(draw() & (i % 2 ? draw() & draw() : UINT64_MAX));
        run_mutant(length);
    }
}

static void commands_that_are_wrong_are_refused(void)
{
    load(circuits, "levels");
    for (int i = 0; i < 2000; i++) {
        memcpy(mutant, bitstream, length);
        for (int k = 0; k < 3; k++)
            mutant[4 + draw() % 40] = (uint8_t)draw();
        struct config *config = malloc(sizeof *config);
        config_read(config, mutant, length);
        free(config);
    }
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "test_ice40 CIRCUITS EXAMPLES\n");
        return 2;
    }
    circuits = argv[1];
    examples = argv[2];
    chip = chip_open();
    CHECK(chip != NULL);
    decoder = decoder_open(chip);
    CHECK(decoder != NULL);
    RUN(circuits_count_what_a_simulation_of_their_sources_counts);
    RUN(what_is_passed_over_counts_as_if_it_were_stepped_through);
    RUN(example_circuits_have_their_frequencies);
    RUN(a_clock_of_another_frequency_at_pin_35_counts_in_proportion);
    RUN(windows_that_follow_one_another_count_as_one);
    RUN(what_cannot_be_simulated_is_named);
    RUN(a_sequence_of_a_million_steps_is_exact_within_the_work_of_a_board);
    RUN(work_without_end_is_extrapolated);
    RUN(a_block_ram_without_content_holds_zeros);
    RUN(mutants_do_no_harm);
    RUN(dsp_settings_of_any_kind_do_no_harm);
    RUN(random_bits_do_no_harm);
    RUN(commands_that_are_wrong_are_refused);
    decoder_close(decoder);
    chip_close(chip);
    return 0;
}
