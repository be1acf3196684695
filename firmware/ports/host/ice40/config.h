/* The configuration of an iCE40UP5K as a bitstream writes it: its CRAM and its block RAMs. */
#ifndef ICE40_CONFIG_H
#define ICE40_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CONFIG_BANKS = 4,
    CONFIG_CRAM_WIDTH = 692,
    CONFIG_CRAM_HEIGHT_MAX = 336,
    CONFIG_CRAM_BYTES = CONFIG_CRAM_WIDTH * CONFIG_CRAM_HEIGHT_MAX / 8,
    CONFIG_RAM_WORDS = 256,
    CONFIG_RAM_BYTES = 20 * CONFIG_RAM_WORDS, /* of the greater banks */
};

struct config {
    uint8_t cram[CONFIG_BANKS][CONFIG_CRAM_BYTES]; /* row after row, the first bit highest */
    uint8_t ram[CONFIG_BANKS][CONFIG_RAM_BYTES];   /* word after word, two bytes for each block RAM of the bank */
};

/* Read the commands of a bitstream; what it does not write is 0. Returns NULL, or what is wrong. */
const char *config_read(struct config *config, const uint8_t *bitstream, size_t n);

/* A bit of a tile: 64 * row + column, as chip_switch has them. */
bool config_bit(const struct config *config, unsigned x, unsigned y, unsigned bit);

/* A bit of a CRAM bank. */
bool config_bank_bit(const struct config *config, unsigned bank, unsigned x, unsigned y);

/* A word that a block RAM starts with; (x, y) is its lower tile. */
uint16_t config_ram_word(const struct config *config, unsigned x, unsigned y, unsigned word);

#endif
