#include "fpga_model.h"

#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "hash.h"

struct model {
    fpga_pulses_function plugin;
    struct circuits *circuits;
    double offset_ppm;
    double noise_ppm;
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
    return 0;
}

struct model *model_open(const struct model_options *options)
{
    struct model *model = calloc(1, sizeof *model);
    if (model == NULL)
        return NULL;
    model->offset_ppm = options->offset_ppm;
    model->noise_ppm = options->noise_ppm;
    if (options->plugin != NULL && open_plugin(model, options->plugin) < 0)
        goto failed;
    if (options->circuits != NULL && (model->circuits = circuits_open(options->circuits)) == NULL)
        goto failed;
    return model;
failed:
    free(model);
    return NULL;
}

double model_frequency(const struct model *model, const uint8_t *bitstream, size_t length)
{
    if (model->plugin != NULL)
        return 0;
    double known = model->circuits != NULL ? circuits_frequency(model->circuits, bitstream, length) : -1;
    return known >= 0 ? known : landscape_frequency(bitstream, length);
}

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

uint32_t model_pulses(const struct model *model, double hz, const struct fpga_window *window)
{
    if (model->plugin != NULL)
        return model->plugin(window);
    uint64_t board = hash_text(0, window->serial);
    double ppm = 0;
    if (model->offset_ppm > 0)
        ppm += model->offset_ppm * even(hash_mix(board));
    if (model->noise_ppm > 0)
        ppm += model->noise_ppm * normal(hash_mix(board ^ (uint64_t)window->sequence << 32));
    double pulses = rint(hz * (double)window->window_us / 1e6 * (1 + ppm / 1e6));
    if (pulses < 0)
        return 0;
    return pulses < (double)UINT32_MAX ? (uint32_t)pulses : UINT32_MAX;
}
