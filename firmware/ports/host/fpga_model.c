#include "fpga_model.h"

#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "hash.h"

struct model {
    fpga_pulses_function plugin;
    fpga_samples_function plugin_samples;
    bool falls_back;
    double offset_ppm;
    double noise_ppm;
    double drift_ppm_per_day;
    double ppm_per_kelvin;
};

static int open_plugin(struct model *model, const char *path)
{
    void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    void *symbol = object != NULL ? dlsym(object, "fpga_pulses") : NULL;
    if (symbol == NULL) {
        fprintf(stderr, "icefarm-boards: the model %s can't be used: %s\n", path, dlerror());
        return -1;
    }
    *(void **)&model->plugin = symbol; /* as POSIX has it for dlsym and functions */
    *(void **)&model->plugin_samples = dlsym(object, "fpga_samples");
    return 0;
}

struct model *model_open(const struct model_options *options)
{
    struct model *model = calloc(1, sizeof *model);
    if (model == NULL)
        return NULL;
    model->offset_ppm = options->offset_ppm;
    model->noise_ppm = options->noise_ppm;
    model->drift_ppm_per_day = options->drift_ppm_per_day;
    model->ppm_per_kelvin = options->ppm_per_kelvin;
    model->falls_back = options->landscape;
    if (options->plugin != NULL && open_plugin(model, options->plugin) < 0) {
        free(model);
        return NULL;
    }
    return model;
}

double model_frequency(const struct model *model, const uint8_t *bitstream, size_t length, uint32_t pin)
{
    if (model->plugin != NULL)
        return 0;
    return landscape_frequency(bitstream, length, pin);
}

static const double TURN = 6.283185307179586;

/* -1 to 1, evenly. */
static double even(uint64_t hash)
{
    return (double)(int64_t)(hash >> 11) / 4503599627370496.0 - 1.0;
}

/* About normal with standard deviation 1: the sum of twelve even numbers of deviation 1/sqrt(12) each (Irwin-Hall). */
static double normal(uint64_t seed)
{
    double sum = 0;
    for (uint64_t i = 0; i < 12; i++)
        sum += even(hash_mix(seed + i)) / 2;
    return sum;
}

/* What tells a board's drift, its temperature coefficient, and the phases of its temperature's courses from its offset. */
enum { OF_DRIFT = 1, OF_KELVIN, OF_WEATHER, OF_DRAUGHT };

/* How far a board is off its nominal frequency, ppm, but for noise. */
static double offset_of(const struct model *model, uint64_t board, const struct fpga_window *window)
{
    double ppm = model->offset_ppm > 0 ? model->offset_ppm * even(hash_mix(board)) : 0;
    if (model->drift_ppm_per_day > 0)
        ppm += model->drift_ppm_per_day * even(hash_mix(board + OF_DRIFT)) * window->days;
    if (model->ppm_per_kelvin > 0)
        ppm += model->ppm_per_kelvin * even(hash_mix(board + OF_KELVIN)) * (window->temperature_c - MODEL_REFERENCE_C);
    return ppm;
}

/* -1 to 1, once in so many days; boards differ by their phases. */
static double course(double days, double period, uint64_t phase)
{
    return sin(TURN * (days / period + even(phase)));
}

double model_temperature(const char *serial, double days)
{
    uint64_t board = hash_text(0, serial);
    double of_board = MODEL_REFERENCE_C + (double)(hash_text(1, serial) % 1000) / 100;
    double weather = 1.5 * course(days, 9.3, hash_mix(board + OF_WEATHER));
    double draught = 0.2 * course(days, 600.0 / 86400, hash_mix(board + OF_DRAUGHT));
    return of_board + 3 * course(days, 1, 0) + weather + draught;
}

bool model_falls_back(const struct model *model)
{
    return model->falls_back;
}

double model_pace(const struct model *model, const struct fpga_window *window)
{
    uint64_t board = hash_text(0, window->serial);
    double ppm = offset_of(model, board, window);
    if (model->noise_ppm > 0)
        ppm += model->noise_ppm * normal(hash_mix(board ^ (uint64_t)window->sequence << 32));
    return 1 + ppm / 1e6;
}

uint32_t model_whole(double pulses)
{
    pulses = rint(pulses);
    if (pulses < 0)
        return 0;
    return pulses < (double)UINT32_MAX ? (uint32_t)pulses : UINT32_MAX;
}

uint32_t model_pulses(const struct model *model, double hz, const struct fpga_window *window)
{
    if (model->plugin != NULL)
        return model->plugin(window);
    return model_whole(hz * (double)window->window_us / 1e6 * model_pace(model, window));
}

/* A triangle between 0 and 4095 with a hundredth of the frequency: slow enough that samples at 10 kHz follow it. Noise is of full scale. */
static const double SLOWER = 100;
static const double FULL_SCALE = 4095;

static double triangle(double turns)
{
    double part = turns - floor(turns);
    return part < 0.5 ? 2 * part : 2 - 2 * part;
}

static uint16_t with_noise(const struct model *model, double level, uint64_t seed)
{
    if (model->noise_ppm > 0)
        level += FULL_SCALE * model->noise_ppm / 1e6 * normal(hash_mix(seed));
    return (uint16_t)fmin(fmax(rint(level), 0), FULL_SCALE);
}

void model_samples(const struct model *model, double hz, const struct fpga_window *window, uint32_t rate_hz, uint16_t *samples,
                   uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        samples[i] = 0;
    if (model->plugin_samples != NULL)
        model->plugin_samples(window, rate_hz, samples, n);
    if (model->plugin != NULL)
        return;
    uint64_t board = hash_text(0, window->serial);
    double step = hz * (1 + offset_of(model, board, window) / 1e6) / SLOWER / rate_hz;
    uint64_t seed = hash_mix(board ^ (uint64_t)window->sequence << 32);
    for (uint32_t i = 0; i < n; i++)
        samples[i] = with_noise(model, FULL_SCALE * triangle(step * i), seed + i);
}

void model_levels(const struct model *model, const struct fpga_window *window, const uint8_t *levels, uint16_t *samples,
                  uint32_t n)
{
    uint64_t seed = hash_mix(hash_text(0, window->serial) ^ (uint64_t)window->sequence << 32);
    for (uint32_t i = 0; i < n; i++)
        samples[i] = with_noise(model, levels[i] ? FULL_SCALE : 0, seed + i);
}
