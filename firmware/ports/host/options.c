#include "options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "version.h"

static const char usage[] =
    "icefarm-boards: virtual boards, for icefarm's worker\n"
    "  --boards N           how many (1 to 4000; default 1)\n"
    "  --plugged N          how many of them are plugged in at the start (0 to 4000; default: all)\n"
    "  --seed TEXT          what their serials are made from (default: icefarm)\n"
    "  --directory DIR      where their boot drives appear (default: .); removed at the end if empty\n"
    "  --speed S            real, instant, or a factor: that many times as fast as real (default: real)\n"
    "  --buffers N          bitstream buffers of each (1 to 8; default 2)\n"
    "  --blank              start with nothing in flash, that is in the boot loader\n"
    "  --offset-ppm N       greatest offset of a board's frequency (default 0)\n"
    "  --drift-ppm-per-day N greatest change of a board's frequency with time (default 0)\n"
    "  --ppm-per-kelvin N   greatest change of a board's frequency with its temperature (default 0)\n"
    "  --noise N            standard deviation of each measurement, ppm (default 0)\n"
    "  --model MODEL        what the FPGA does: simulated (its bitstream is run; the default), landscape (an invented\n"
    "                       frequency), simulated,landscape (invented where it can't be simulated), or FILE.so: see fpga_model.h\n"
    "  --simulate FILE      simulate this bitstream (-: standard input), write what it does as JSON to stdout, and end; with\n"
    "    --window S         seconds (0.000001 to 600; default 1)\n"
    "    --pins N,...       pins of the FPGA that are counted (up to 16; default 27)\n"
    "    --clock-mhz N      the clock at pin 35 (0 to 200; default 48; 0: none)\n"
    "    --vcd FILE         write a waveform\n"
    "    --plan             say where the cells are, and the ways between them\n"
    "  --image APP          write that application's UF2 image to stdout, and end\n"
    "  --image-version TEXT the version that this image states (default: the firmware's)\n"
    "  --version            write the firmware's version, and end\n"
    "Commands are read from stdin, one a line; when it closes, the boards end.\n";

static _Noreturn void refuse(const char *option, const char *value)
{
    fprintf(stderr, "icefarm-boards: %s can't be %s\n%s", option, value, usage);
    exit(2);
}

static double number(const char *option, const char *value, double least, double most)
{
    char *end;
    double parsed = strtod(value, &end);
    if (end == value || *end != '\0' || !(parsed >= least && parsed <= most))
        refuse(option, value);
    return parsed;
}

static double scale(const char *value)
{
    if (strcmp(value, "real") == 0)
        return 1;
    if (strcmp(value, "instant") == 0)
        return 0;
    return 1 / number("--speed", value, 0.001, 1e6);
}

static void take_model(struct model_options *model, const char *value)
{
    size_t n = strlen(value);
    bool is_file = n > 3 && strcmp(value + n - 3, ".so") == 0, both = strcmp(value, "simulated,landscape") == 0;
    model->plugin = is_file ? value : NULL;
    model->simulated = both || strcmp(value, "simulated") == 0;
    model->landscape = both || strcmp(value, "landscape") == 0;
    if (!is_file && !model->simulated && !model->landscape)
        refuse("--model", value);
}

static void take_pins(struct simulate_options *simulate, const char *value)
{
    simulate->n_pins = 0;
    for (const char *at = value;; at++) {
        char *end;
        unsigned long pin = strtoul(at, &end, 10);
        if (end == at || pin == 0 || pin > 48 || simulate->n_pins == ICE40_PINS_MAX || (*end != ',' && *end != '\0'))
            refuse("--pins", value);
        simulate->pins[simulate->n_pins++] = (uint8_t)pin;
        if (*end == '\0')
            return;
        at = end;
    }
}

static void take(struct options *options, int option, const char *value)
{
    switch (option) {
    case 'n': options->boards = (uint32_t)number("--boards", value, 1, 4000); break;
    case 'p': options->plugged = (uint32_t)number("--plugged", value, 0, 4000); break;
    case 's': options->seed = value; break;
    case 'd': options->bench.directory = value; break;
    case 'x': options->bench.scale = scale(value); break;
    case 'b': options->bench.buffers = (uint8_t)number("--buffers", value, 1, BUFFERS_MAX); break;
    case 'k': options->blank = true; break;
    case 'o': options->model.offset_ppm = number("--offset-ppm", value, 0, 1e5); break;
    case 'D': options->model.drift_ppm_per_day = number("--drift-ppm-per-day", value, 0, 1e4); break;
    case 'K': options->model.ppm_per_kelvin = number("--ppm-per-kelvin", value, 0, 1e4); break;
    case 'r': options->model.noise_ppm = number("--noise", value, 0, 1e5); break;
    case 'm': take_model(&options->model, value); break;
    case 'S': options->simulate.file = value; break;
    case 'W': options->simulate.window_s = number("--window", value, 1e-6, 600); break;
    case 'P': take_pins(&options->simulate, value); break;
    case 'C': options->simulate.clock_mhz = (uint32_t)number("--clock-mhz", value, 0, 200); break;
    case 'V': options->simulate.vcd = value; break;
    case 'L': options->simulate.plan = true; break;
    case 'i': options->image = value; break;
    case 'w': options->version = value; break;
    case 'v': puts(FIRMWARE_VERSION); exit(0);
    case 'h': fputs(usage, stdout); exit(0);
    default: fputs(usage, stderr); exit(2);
    }
}

struct options options_parse(int argc, char **argv)
{
    static const struct option known[] = {
        {"boards", required_argument, NULL, 'n'},     {"seed", required_argument, NULL, 's'},
        {"plugged", required_argument, NULL, 'p'},
        {"directory", required_argument, NULL, 'd'},  {"speed", required_argument, NULL, 'x'},
        {"buffers", required_argument, NULL, 'b'},    {"blank", no_argument, NULL, 'k'},
        {"offset-ppm", required_argument, NULL, 'o'}, {"noise", required_argument, NULL, 'r'},
        {"drift-ppm-per-day", required_argument, NULL, 'D'}, {"ppm-per-kelvin", required_argument, NULL, 'K'},
        {"model", required_argument, NULL, 'm'},
        {"simulate", required_argument, NULL, 'S'},   {"window", required_argument, NULL, 'W'},
        {"pins", required_argument, NULL, 'P'},       {"clock-mhz", required_argument, NULL, 'C'},
        {"vcd", required_argument, NULL, 'V'},        {"plan", no_argument, NULL, 'L'},
        {"image", required_argument, NULL, 'i'},      {"image-version", required_argument, NULL, 'w'},
        {"version", no_argument, NULL, 'v'},          {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    struct options options = {.boards = 1, .plugged = UINT32_MAX, .seed = "icefarm", .version = FIRMWARE_VERSION, .model.simulated = true};
    options.bench = (struct bench){.scale = 1, .buffers = 2, .directory = ".", .epoll = -1};
    options.simulate = (struct simulate_options){.window_s = 1, .clock_mhz = CLOCK_DEFAULT_MHZ, .n_pins = 1, .pins = {27}};
    int option;
    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1)
        take(&options, option, optarg);
    if (optind < argc)
        refuse("an argument", argv[optind]);
    return options;
}
