/* Fuzzes the virtual FPGA with libFuzzer (make fuzz_ice40). An input changes a circuit of tests/circuits: its first byte says which,
 * then four bytes each say which bit to flip. CIRCUITS in the environment names the directory. */
#include <glob.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chipdb.h"
#include "design.h"
#include "ice40.h"

enum { SEEDS_MAX = 64, FILE_MAX = 200000 };

static struct chip *chip;
static struct decoder *decoder;
static size_t n_seeds, lengths[SEEDS_MAX];
static uint8_t seeds[SEEDS_MAX][FILE_MAX], changed[FILE_MAX];

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    char pattern[1024];
    const char *directory = getenv("CIRCUITS");
    snprintf(pattern, sizeof pattern, "%s/*.bin", directory != NULL ? directory : "../tests/circuits");
    glob_t found;
    if (glob(pattern, 0, NULL, &found) != 0) {
        fprintf(stderr, "there are no circuits: %s\n", pattern);
        exit(1);
    }
    for (size_t i = 0; i < found.gl_pathc && n_seeds < SEEDS_MAX; i++) {
        FILE *file = fopen(found.gl_pathv[i], "rb");
        if (file == NULL)
            continue;
        lengths[n_seeds] = fread(seeds[n_seeds], 1, FILE_MAX, file);
        n_seeds++;
        fclose(file);
    }
    globfree(&found);
    chip = chip_open();
    decoder = decoder_open(chip);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const uint8_t pins[] = {27, 25, 26, 23, 2, 3, 35, 39};
    if (n == 0)
        return 0;
    size_t seed = data[0] % n_seeds, length = lengths[seed];
    memcpy(changed, seeds[seed], length);
    for (size_t i = 1; i + 4 <= n; i += 4) {
        uint32_t bit;
        memcpy(&bit, data + i, sizeof bit);
        bit %= (uint32_t)length * 8;
        changed[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    char reason[ICE40_TEXT];
    struct ice40_setup setup = {.pins = pins, .n_pins = sizeof pins, .clock_hz = 48000000, .work = 50000};
    struct ice40 *fpga = ice40_open(decoder, changed, length, &setup, reason);
    if (fpga != NULL)
        ice40_advance(fpga, 0.01);
    ice40_close(fpga);
    return 0;
}
