/* Reads tests/vectors/frames.txt: vectors/README.md says what is in it. */
#ifndef VECTORS_H
#define VECTORS_H

#include <stdint.h>

#include "check.h"

enum { VECTOR_FIELDS = 8, VECTOR_LINE = 32768 };

/* Bytes of a hexadecimal field; "-" is none. */
static inline size_t vector_bytes(const char *field, uint8_t *out)
{
    size_t n = 0;
    if (strcmp(field, "-") == 0)
        return 0;
    for (; field[0] != '\0' && field[1] != '\0'; field += 2) {
        char digits[3] = {field[0], field[1], '\0'};
        out[n++] = (uint8_t)strtoul(digits, NULL, 16);
    }
    CHECK(*field == '\0');
    return n;
}

/* Call `each` with the fields of every line of that kind; returns how many there were. */
static inline int vectors_each(const char *path, const char *kind, void (*each)(char **fields))
{
    static char line[VECTOR_LINE];
    int count = 0;
    FILE *file = fopen(path, "r");
    CHECK(file != NULL);
    while (fgets(line, sizeof line, file) != NULL) {
        char *fields[VECTOR_FIELDS] = {0}, *rest = NULL;
        int n = 0;
        for (char *word = strtok_r(line, " \n", &rest); word != NULL && n < VECTOR_FIELDS; word = strtok_r(NULL, " \n", &rest))
            fields[n++] = word;
        if (n < 2 || strcmp(fields[0], kind) != 0)
            continue;
        each(fields);
        count++;
    }
    fclose(file);
    return count;
}

#endif
