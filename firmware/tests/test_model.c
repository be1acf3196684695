/* The model of the FPGA: exact, repeatable, smooth, and different by board only when asked. */
#include <math.h>

#include "check.h"
#include "fpga_model.h"
#include "hash.h"

enum { LENGTH = 104090, BITS = LENGTH * 8 };

static uint8_t bitstream[LENGTH];
static uint64_t draws;

static uint64_t draw(void)
{
    return hash_mix(draws++);
}

static void fill(void)
{
    for (size_t i = 0; i < LENGTH; i++)
        bitstream[i] = (uint8_t)draw();
}

static void flip(uint64_t bit)
{
    bitstream[bit / 8 % LENGTH] ^= (uint8_t)(1u << bit % 8);
}

static void a_frequency_is_within_its_range_and_repeatable(void)
{
    for (int i = 0; i < 50; i++) {
        fill();
        double hz = landscape_frequency(bitstream, LENGTH, MODEL_PIN);
        CHECK(hz >= 0 && hz <= 100000);
        CHECK(hz == landscape_frequency(bitstream, LENGTH, MODEL_PIN));
    }
}

static void each_pin_has_a_frequency_of_its_own(void)
{
    static const uint32_t pins[] = {9, 11, 25, 27};
    fill();
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < i; k++)
            CHECK(landscape_frequency(bitstream, LENGTH, pins[i]) != landscape_frequency(bitstream, LENGTH, pins[k]));
}

static void one_bit_changes_the_frequency_a_little(void)
{
    fill();
    double before = landscape_frequency(bitstream, LENGTH, MODEL_PIN), greatest = 0;
    int changed = 0;
    for (int i = 0; i < 200; i++) {
        uint64_t bit = draw() % BITS;
        flip(bit);
        double change = fabs(landscape_frequency(bitstream, LENGTH, MODEL_PIN) - before);
        greatest = change > greatest ? change : greatest;
        changed += change > 0;
        flip(bit);
    }
    CHECK_EQUAL(changed, 200);
    CHECK(greatest < 1000);
}

/* What a search does: take a mutation whenever it is no worse. */
static void a_search_climbs(void)
{
    fill();
    double first = landscape_frequency(bitstream, LENGTH, MODEL_PIN), best = first;
    for (int i = 0; i < 300; i++) {
        uint64_t bits[20];
        for (int k = 0; k < 20; k++)
            flip(bits[k] = draw() % BITS);
        double hz = landscape_frequency(bitstream, LENGTH, MODEL_PIN);
        for (int k = 0; k < 20 && hz < best; k++)
            flip(bits[k]);
        best = hz > best ? hz : best;
    }
    CHECK(best > first + 3000);
}

static struct model *open_model(double offset_ppm, double noise_ppm)
{
    struct model_options options = {.landscape = true, .offset_ppm = offset_ppm, .noise_ppm = noise_ppm};
    struct model *model = model_open(&options);
    CHECK(model != NULL);
    return model;
}

/* Ten seconds, at the reference temperature, when the boards have just started. */
static struct fpga_window window_of(const char *serial, uint32_t sequence)
{
    return (struct fpga_window){
        .bitstream = bitstream,
        .length = LENGTH,
        .serial = serial,
        .window_us = 10000000,
        .sequence = sequence,
        .clock_mhz = 48,
        .pin = MODEL_PIN,
        .temperature_c = MODEL_REFERENCE_C,
    };
}

static uint32_t pulses(const struct model *model, const char *serial, uint32_t sequence)
{
    struct fpga_window window = window_of(serial, sequence);
    return model_pulses(model, 50000, &window);
}

static void without_offset_and_noise_counts_are_exact(void)
{
    struct model *model = open_model(0, 0);
    CHECK_EQUAL(pulses(model, "0000000000000001", 1), 500000);
    CHECK_EQUAL(pulses(model, "0000000000000002", 9), 500000);
    free(model);
}

static void an_offset_is_a_boards_own_and_lasting(void)
{
    struct model *model = open_model(1000, 0);
    uint32_t one = pulses(model, "0000000000000001", 1), two = pulses(model, "0000000000000002", 1);
    CHECK(one != two);
    CHECK(one >= 499500 && one <= 500500 && two >= 499500 && two <= 500500);
    CHECK_EQUAL(pulses(model, "0000000000000001", 2), one);
    free(model);
}

static void noise_has_the_deviation_that_was_asked_for(void)
{
    struct model *model = open_model(0, 1000);
    double sum = 0, squares = 0;
    for (uint32_t i = 1; i <= 1000; i++) {
        double off = (double)pulses(model, "0000000000000001", i) - 500000;
        sum += off;
        squares += off * off;
    }
    CHECK(fabs(sum / 1000) < 50);
    double deviation = sqrt(squares / 1000);
    CHECK(deviation > 450 && deviation < 550);
    CHECK_EQUAL(pulses(model, "0000000000000001", 5), pulses(model, "0000000000000001", 5));
    free(model);
}

static double pace_ppm(const struct model *model, const char *serial, double days, double kelvin)
{
    struct fpga_window window = window_of(serial, 1);
    window.days = days;
    window.temperature_c += kelvin;
    return (model_pace(model, &window) - 1) * 1e6;
}

static void a_board_drifts_evenly_and_at_its_own_rate(void)
{
    struct model_options options = {.landscape = true, .drift_ppm_per_day = 5};
    struct model *model = model_open(&options);
    double one = pace_ppm(model, "0000000000000001", 1, 0), other = pace_ppm(model, "0000000000000002", 1, 0);
    CHECK(pace_ppm(model, "0000000000000001", 0, 10) == 0);
    CHECK(fabs(one - other) > 0.1 && fabs(one) <= 5 && fabs(other) <= 5);
    CHECK(fabs(pace_ppm(model, "0000000000000001", 30, 10) - 30 * one) < 1e-6);
    free(model);
}

static void a_board_follows_its_temperature_with_a_coefficient_of_its_own(void)
{
    struct model_options options = {.landscape = true, .ppm_per_kelvin = 20};
    struct model *model = model_open(&options);
    double one = pace_ppm(model, "0000000000000001", 0, 1), other = pace_ppm(model, "0000000000000002", 0, 1);
    CHECK(pace_ppm(model, "0000000000000001", 90, 0) == 0);
    CHECK(fabs(one - other) > 0.1 && fabs(one) <= 20 && fabs(other) <= 20);
    CHECK(fabs(pace_ppm(model, "0000000000000001", 0, -4) + 4 * one) < 1e-6);
    free(model);
}

static void a_board_is_warmest_once_a_day(void)
{
    double sum = 0, day = 0;
    for (int i = 0; i < 1440; i++) {
        double celsius = model_temperature("0000000000000001", 2 + i / 1440.0);
        CHECK(celsius > 20 && celsius < 40);
        CHECK(celsius == model_temperature("0000000000000001", 2 + i / 1440.0));
        sum += celsius / 1440;
        day += celsius * sin(6.283185307179586 * i / 1440) / 720;
    }
    CHECK(sum > 23 && sum < 37);
    CHECK(day > 2.5 && day < 3.5);
}

static void samples_swing_faster_where_the_frequency_is_higher(void)
{
    static uint16_t samples[500];
    struct model_options options = {0};
    struct model *model = model_open(&options);
    struct fpga_window window = window_of("0123456789ABCDEF", 1);
    window.window_us = 50000;
    long previous = -1;
    for (double hz = 0; hz <= 100000; hz += 10000) {
        model_samples(model, hz, &window, 10000, samples, 500);
        long sum = 0;
        for (int i = 1; i < 500; i++)
            sum += labs((long)samples[i] - samples[i - 1]);
        CHECK(sum > previous);
        previous = sum;
    }
    free(model);
}

static void levels_of_a_pin_are_all_or_nothing(void)
{
    static const uint8_t levels[] = {0, 1, 1, 0};
    uint16_t samples[4];
    struct model_options options = {.simulated = true};
    struct model *model = model_open(&options);
    struct fpga_window window = window_of("0123456789ABCDEF", 1);
    window.window_us = 50000;
    model_levels(model, &window, levels, samples, 4);
    CHECK(samples[0] == 0 && samples[1] == 4095 && samples[2] == 4095 && samples[3] == 0);
    free(model);
}

int main(void)
{
    RUN(a_frequency_is_within_its_range_and_repeatable);
    RUN(each_pin_has_a_frequency_of_its_own);
    RUN(one_bit_changes_the_frequency_a_little);
    RUN(a_search_climbs);
    RUN(without_offset_and_noise_counts_are_exact);
    RUN(an_offset_is_a_boards_own_and_lasting);
    RUN(noise_has_the_deviation_that_was_asked_for);
    RUN(a_board_drifts_evenly_and_at_its_own_rate);
    RUN(a_board_follows_its_temperature_with_a_coefficient_of_its_own);
    RUN(a_board_is_warmest_once_a_day);
    RUN(levels_of_a_pin_are_all_or_nothing);
    RUN(samples_swing_faster_where_the_frequency_is_higher);
    return 0;
}
