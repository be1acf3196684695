/* The boot ROM's drive: takes UF2 blocks as the RP2350's does (its datasheet, section 5.5), and keeps the start of the flash. */
#ifndef ROM_H
#define ROM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "image.h"

enum { FLASH_BLOCKS = 4 * 1024 * 1024 / UF2_PAYLOAD };

struct rom {
    uint8_t block[UF2_BLOCK]; /* the one that arrives */
    size_t n_block;
    uint32_t expected; /* blocks of this image, 0 before the first */
    uint32_t seen;
    uint8_t seen_bits[FLASH_BLOCKS / 8];
};

/* A drive that was just plugged in. */
void rom_start(struct rom *rom);

/* Take written bytes, put what belongs there into `flash`, the first IMAGE_SIZE bytes of it. Returns whether the image is complete. */
bool rom_write(struct rom *rom, uint8_t flash[IMAGE_SIZE], const uint8_t *bytes, size_t n);

#endif
