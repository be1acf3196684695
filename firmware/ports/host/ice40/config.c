/* Source: Project IceStorm, "Bitstream File Format Documentation" and "UltraPlus Features Documentation". */
#include "config.h"

#include <string.h>

/* Commands: opcode in the upper four bits, number of payload bytes in the lower four. */
enum {
    COMMAND_DO = 0x0,
    COMMAND_BANK = 0x1,
    COMMAND_WIDTH = 0x6,
    COMMAND_HEIGHT = 0x7,
    COMMAND_OFFSET = 0x8,
    DO_WRITE_CRAM = 1,
    DO_WRITE_RAM = 3,
    DO_WAKE_UP = 6,
};

struct reader {
    const uint8_t *bytes;
    size_t n, at;
    uint32_t bank, width, height, offset;
};

static const uint16_t cram_heights[CONFIG_BANKS] = {336, 176, 336, 176};
static const uint16_t ram_widths[CONFIG_BANKS] = {160, 80, 160, 80};

/* Copy a block of rows where it belongs. Returns NULL, or what is wrong. */
static const char *take_block(struct reader *reader, uint8_t *target, uint32_t width, uint32_t height)
{
    if (reader->width != width || reader->offset > height || reader->height > height - reader->offset)
        return "its banks are not those of an iCE40UP5K";
    size_t n = (size_t)width * reader->height / 8;
    if (n > reader->n - reader->at)
        return "it is cut short";
    memcpy(target + (size_t)width * reader->offset / 8, reader->bytes + reader->at, n);
    reader->at += n;
    return NULL;
}

static const char *carry_out(struct reader *reader, struct config *config, unsigned opcode, uint32_t payload)
{
    switch (opcode) {
    case COMMAND_BANK:
        reader->bank = payload;
        return payload < CONFIG_BANKS ? NULL : "it has a bank that there is not";
    case COMMAND_WIDTH:
        reader->width = payload + 1;
        return NULL;
    case COMMAND_HEIGHT:
        reader->height = payload;
        return NULL;
    case COMMAND_OFFSET:
        reader->offset = payload;
        return NULL;
    case COMMAND_DO:
        break;
    default:
        return NULL; /* speed, boot, CRC: nothing that the circuit sees */
    }
    if (payload == DO_WRITE_CRAM)
        return take_block(reader, config->cram[reader->bank], CONFIG_CRAM_WIDTH, cram_heights[reader->bank]);
    if (payload == DO_WRITE_RAM)
        return take_block(reader, config->ram[reader->bank], ram_widths[reader->bank], CONFIG_RAM_WORDS);
    return NULL;
}

static const uint8_t *find_preamble(const uint8_t *bytes, size_t n)
{
    static const uint8_t preamble[] = {0x7e, 0xaa, 0x99, 0x7e};
    for (size_t i = 0; i + sizeof preamble <= n; i++)
        if (memcmp(bytes + i, preamble, sizeof preamble) == 0)
            return bytes + i + sizeof preamble;
    return NULL;
}

const char *config_read(struct config *config, const uint8_t *bitstream, size_t n)
{
    memset(config->cram, 0, sizeof config->cram);
    memset(config->ram, 0, sizeof config->ram);
    memset(config->known, 0, sizeof config->known);
    const uint8_t *start = find_preamble(bitstream, n);
    if (start == NULL)
        return "it has no preamble";
    struct reader reader = {.bytes = bitstream, .n = n, .at = (size_t)(start - bitstream)};
    while (reader.at < n) {
        unsigned command = bitstream[reader.at++], length = command & 0xf;
        if (length > n - reader.at)
            return "it is cut short";
        uint32_t payload = 0;
        for (unsigned i = 0; i < length; i++)
            payload = payload << 8 | bitstream[reader.at++];
        if (command >> 4 == COMMAND_DO && payload == DO_WAKE_UP)
            return NULL;
        const char *wrong = carry_out(&reader, config, command >> 4, payload);
        if (wrong != NULL)
            return wrong;
    }
    return "it never wakes the FPGA up";
}

bool config_bank_bit(const struct config *config, unsigned bank, unsigned x, unsigned y)
{
    unsigned bit = y * CONFIG_CRAM_WIDTH + x;
    return config->cram[bank][bit / 8] >> (7 - bit % 8) & 1;
}

enum { HALF = CHIP_WIDTH / 2, UPPER_FROM = 21, RAM_COLUMN = 6 };

/* Columns of tiles count from the left or right edge inwards; that of the block RAMs is narrower. */
static unsigned column_width(unsigned column)
{
    return column == RAM_COLUMN ? 42 : 54;
}

static unsigned column_start(unsigned column)
{
    return column <= RAM_COLUMN ? 54 * column : 54 * column - 12;
}

static uint64_t mirrored(uint64_t bits)
{
    bits = (bits >> 1 & 0x5555555555555555u) | (bits & 0x5555555555555555u) << 1;
    bits = (bits >> 2 & 0x3333333333333333u) | (bits & 0x3333333333333333u) << 2;
    bits = (bits >> 4 & 0x0f0f0f0f0f0f0f0fu) | (bits & 0x0f0f0f0f0f0f0f0fu) << 4;
    bits = (bits >> 8 & 0x00ff00ff00ff00ffu) | (bits & 0x00ff00ff00ff00ffu) << 8;
    bits = (bits >> 16 & 0x0000ffff0000ffffu) | (bits & 0x0000ffff0000ffffu) << 16;
    return bits >> 32 | bits << 32;
}

/* A row of a tile as its bank has it. In the right half columns go the other way. */
static uint64_t take_row(const struct config *config, unsigned x, unsigned bank, unsigned row)
{
    bool right = x >= HALF;
    unsigned column = right ? CHIP_WIDTH - 1 - x : x, width = column_width(column);
    unsigned first = row * CONFIG_CRAM_WIDTH + column_start(column);
    const uint8_t *bytes = &config->cram[bank][first / 8];
    uint64_t bits = 0;
    for (unsigned i = 0; i < 8; i++)
        bits = bits << 8 | bytes[i];
    bits = bits << first % 8 & UINT64_MAX << (64 - width);
    return right ? bits >> (64 - width) : mirrored(bits);
}

/* Tiles at the bottom and the top: their bits stand in an order of their own. */
static void take_io_tile(const struct config *config, unsigned x, unsigned bank, unsigned first_row, uint64_t *rows)
{
    static const uint8_t places[CONFIG_TILE_ROWS] = {0, 1, 3, 2, 4, 5, 7, 6, 8, 9, 11, 10, 12, 13, 15, 14};
    static const uint8_t columns[18] = {23, 25, 26, 27, 16, 17, 18, 19, 20, 14, 32, 33, 34, 35, 36, 37, 4, 5};
    for (unsigned row = 0; row < CONFIG_TILE_ROWS; row++) {
        uint64_t bits = take_row(config, x, bank, first_row + CONFIG_TILE_ROWS - 1 - places[row]);
        for (unsigned column = 0; column < 18; column++)
            rows[row] |= (bits >> columns[column] & 1) << column;
    }
}

void config_take_tile(struct config *config, unsigned tile)
{
    unsigned x = tile % CHIP_WIDTH, y = tile / CHIP_WIDTH;
    bool upper = y >= UPPER_FROM;
    unsigned bank = 2u * (x >= HALF) + upper, first_row = CONFIG_TILE_ROWS * (upper ? CHIP_HEIGHT - 1 - y : y);
    uint64_t *rows = config->tiles[tile];
    memset(rows, 0, sizeof config->tiles[tile]);
    config->known[tile] = true;
    if (y == 0 || y == CHIP_HEIGHT - 1) {
        take_io_tile(config, x, bank, first_row, rows);
        return;
    }
    for (unsigned row = 0; row < CONFIG_TILE_ROWS; row++)
        rows[row] = take_row(config, x, bank, first_row + (upper ? CONFIG_TILE_ROWS - 1 - row : row));
}

uint16_t config_ram_word(const struct config *config, unsigned x, unsigned y, unsigned word)
{
    bool right = x >= HALF, upper = y >= UPPER_FROM;
    unsigned bank = 2u * right + upper, place = (y - (upper ? UPPER_FROM : 1)) / 2;
    const uint8_t *bytes = &config->ram[bank][ram_widths[bank] / 8 * word + 2 * place];
    return (uint16_t)(bytes[0] << 8 | bytes[1]);
}
