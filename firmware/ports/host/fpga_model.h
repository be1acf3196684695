/* What the virtual FPGA "measures". docs/virtual-boards.md describes the model that is built in.
 *
 * Another model is a shared object, given with --model PATH.so, that has this one function:
 *
 *     uint32_t fpga_pulses(const struct fpga_window *window);
 *
 * and may have this one:
 *
 *     void fpga_samples(const struct fpga_window *window, uint32_t rate_hz, uint16_t *samples, uint32_t n);
 *
 * They are called once for each window and pin, from one thread, and must be quick: all boards wait for them. */
#ifndef FPGA_MODEL_H
#define FPGA_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fpga_window {
    const uint8_t *bitstream; /* as loaded */
    size_t length;
    const char *serial; /* of the board: 16 upper-case hexadecimal digits, and a 0 byte */
    uint32_t window_us;
    uint32_t sequence; /* 1 for the board's first window since it started */
    uint32_t clock_mhz; /* at the FPGA's pin 35; 0: nobody drives it */
    uint32_t pin; /* of the FPGA, whose edges are counted */
    double days; /* since the virtual boards started */
    double temperature_c; /* of the board */
};

typedef uint32_t (*fpga_pulses_function)(const struct fpga_window *window);
typedef void (*fpga_samples_function)(const struct fpga_window *window, uint32_t rate_hz, uint16_t *samples, uint32_t n);

struct model;

struct model_options {
    const char *plugin; /* shared object, or NULL: then at least one of the two that are built in */
    bool simulated;     /* the bitstream is run (simulation.h) */
    bool landscape;     /* an invented frequency, for all or for what cannot be simulated */
    double offset_ppm;  /* greatest offset of a board's frequency */
    double noise_ppm;   /* standard deviation of each window's frequency */
    double drift_ppm_per_day; /* greatest change of a board's frequency with time */
    double ppm_per_kelvin;    /* greatest change of a board's frequency with temperature */
};

/* NULL after a message on stderr if a file cannot be used. */
struct model *model_open(const struct model_options *options);

/* The pin that pulse_count counts; what is sampled goes by it as well. */
enum { MODEL_PIN = 27 };

/* Frequency in hertz that the landscape has for this configuration at a pin; without meaning for a plug-in. */
double model_frequency(const struct model *model, const uint8_t *bitstream, size_t length, uint32_t pin);

/* Whether the landscape stands in for a circuit that cannot be simulated. */
bool model_falls_back(const struct model *model);

/* A board's temperature, degrees Celsius: its own between 25 and 35, with a day's course of 3 degrees either way, one of 9.3 days, and a
 * quick small one. */
double model_temperature(const char *serial, double days);

/* The temperature at which a board has its offset. */
enum { MODEL_REFERENCE_C = 25 };

/* How fast this board's circuit runs in this window, 1 if exactly as it should: its offset, drift, temperature, and noise. */
double model_pace(const struct model *model, const struct fpga_window *window);

/* A count as it is reported. */
uint32_t model_whole(double pulses);

/* Rising edges in a window; `hz` is what model_frequency gave for the same bitstream. */
uint32_t model_pulses(const struct model *model, double hz, const struct fpga_window *window);

/* What the analog pin shows, 0 to 4095, rate_hz times a second; `hz` as above. */
void model_samples(const struct model *model, double hz, const struct fpga_window *window, uint32_t rate_hz, uint16_t *samples,
                   uint32_t n);

/* The built-in function of the configuration's bits, another one for each pin (fpga_landscape.c). */
double landscape_frequency(const uint8_t *bitstream, size_t length, uint32_t pin);

/* The same for a pin that is simulated: `levels` are 0 or 1. */
void model_levels(const struct model *model, const struct fpga_window *window, const uint8_t *levels, uint16_t *samples,
                  uint32_t n);

#endif
