/* The configuration of an iCE40UP5K as a bitstream writes it: its CRAM and its block RAMs. */
#ifndef ICE40_CONFIG_H
#define ICE40_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chipdb.h"

enum {
    CONFIG_BANKS = 4,
    CONFIG_CRAM_WIDTH = 692,
    CONFIG_CRAM_HEIGHT_MAX = 336,
    CONFIG_CRAM_BYTES = CONFIG_CRAM_WIDTH * CONFIG_CRAM_HEIGHT_MAX / 8,
    CONFIG_RAM_WORDS = 256,
    CONFIG_RAM_BYTES = 20 * CONFIG_RAM_WORDS, /* of the greater banks */
    CONFIG_TILE_ROWS = 16,
};

struct config {
    uint8_t cram[CONFIG_BANKS][CONFIG_CRAM_BYTES + 8]; /* row after row, the first bit highest; 8 more are read with the last */
    uint8_t ram[CONFIG_BANKS][CONFIG_RAM_BYTES]; /* word after word, two bytes for each block RAM of the bank */
    uint64_t tiles[CHIP_TILES][CONFIG_TILE_ROWS]; /* bit n: column n; of those tiles that were asked for */
    bool known[CHIP_TILES];
};

/* Read the commands of a bitstream; what it does not write is 0. Returns NULL, or what is wrong. */
const char *config_read(struct config *config, const uint8_t *bitstream, size_t n);

/* The bits of a tile, taken out of their bank when they are first asked for: most circuits need few tiles. */
void config_take_tile(struct config *config, unsigned tile);

static inline const uint64_t *config_tile(struct config *config, unsigned tile)
{
    if (!config->known[tile])
        config_take_tile(config, tile);
    return config->tiles[tile];
}

/* A bit of a tile: 64 * row + column, as the switches have them. */
static inline bool config_bit(const uint64_t *rows, unsigned bit)
{
    return rows[bit / 64] >> bit % 64 & 1;
}

/* A bit of a CRAM bank. */
bool config_bank_bit(const struct config *config, unsigned bank, unsigned x, unsigned y);

/* A word that a block RAM starts with; (x, y) is its lower tile. */
uint16_t config_ram_word(const struct config *config, unsigned x, unsigned y, unsigned word);

#endif
