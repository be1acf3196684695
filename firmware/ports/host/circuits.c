/* Known circuits: frequencies that functional simulation of their netlists gave. One per line:
 * CRC-32 of the whole bitstream (8 hexadecimal digits), its length, hertz, name. '#' begins a comment. */
#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crc32.h"
#include "fpga_model.h"

enum { CIRCUITS_MAX = 4096 };

struct circuit {
    uint32_t crc;
    size_t length;
    double hz;
};

struct circuits {
    size_t n;
    struct circuit known[CIRCUITS_MAX];
};

static bool is_blank(const char *line)
{
    while (isspace((unsigned char)*line))
        line++;
    return *line == '\0' || *line == '#';
}

static bool parse(const char *line, struct circuit *circuit)
{
    unsigned crc;
    int end = 0;
    if (sscanf(line, " %8x %zu %lf %n", &crc, &circuit->length, &circuit->hz, &end) != 3 || end == 0)
        return false;
    circuit->crc = crc;
    return circuit->hz >= 0;
}

static bool read_lines(struct circuits *circuits, FILE *file, const char *path)
{
    char line[512];
    for (int number = 1; fgets(line, sizeof line, file) != NULL; number++) {
        if (is_blank(line))
            continue;
        if (circuits->n == CIRCUITS_MAX || !parse(line, &circuits->known[circuits->n])) {
            fprintf(stderr, "icefarm-boards: %s, line %d: not 'CRC32 LENGTH HERTZ NAME', or too many lines\n", path, number);
            return false;
        }
        circuits->n++;
    }
    return true;
}

struct circuits *circuits_open(const char *path)
{
    FILE *file = fopen(path, "r");
    struct circuits *circuits = file != NULL ? calloc(1, sizeof *circuits) : NULL;
    if (circuits == NULL) {
        fprintf(stderr, "icefarm-boards: the circuits file %s can't be read: %s\n", path, strerror(errno));
        if (file != NULL)
            fclose(file);
        return NULL;
    }
    bool good = read_lines(circuits, file, path);
    fclose(file);
    if (!good) {
        free(circuits);
        return NULL;
    }
    return circuits;
}

double circuits_frequency(const struct circuits *circuits, const uint8_t *bitstream, size_t length)
{
    uint32_t crc = 0;
    bool have_crc = false;
    for (size_t i = 0; i < circuits->n; i++) {
        if (circuits->known[i].length != length)
            continue;
        if (!have_crc)
            crc = crc32_update(0, bitstream, length);
        have_crc = true;
        if (circuits->known[i].crc == crc)
            return circuits->known[i].hz;
    }
    return -1;
}
