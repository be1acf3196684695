#include "rom.h"

#include <string.h>

#include "le.h"

void rom_start(struct rom *rom)
{
    memset(rom, 0, sizeof *rom);
}

static bool is_for_us(const uint8_t *block)
{
    uint32_t address = le_get32(block + 12), number = le_get32(block + 20), blocks = le_get32(block + 24);
    return le_get32(block) == UF2_MAGIC_0 && le_get32(block + 4) == UF2_MAGIC_1 &&
           le_get32(block + UF2_BLOCK - 4) == UF2_MAGIC_END && (le_get32(block + 8) & UF2_FLAG_FAMILY) != 0 &&
           (le_get32(block + 8) & UF2_FLAG_NOT_MAIN_FLASH) == 0 && le_get32(block + 28) == UF2_FAMILY_RP2350_ARM_S &&
           le_get32(block + 16) == UF2_PAYLOAD && number < blocks && blocks <= FLASH_BLOCKS && address >= FLASH_ADDRESS &&
           (address - FLASH_ADDRESS) % UF2_PAYLOAD == 0 && (address - FLASH_ADDRESS) / UF2_PAYLOAD < FLASH_BLOCKS;
}

static bool take_block(struct rom *rom, uint8_t flash[IMAGE_SIZE])
{
    const uint8_t *block = rom->block;
    if (!is_for_us(block))
        return false;
    uint32_t number = le_get32(block + 20), blocks = le_get32(block + 24);
    if (blocks != rom->expected) {
        rom->expected = blocks; /* another image begins */
        rom->seen = 0;
        memset(rom->seen_bits, 0, sizeof rom->seen_bits);
    }
    uint8_t bit = (uint8_t)(1u << (number % 8));
    if (rom->seen_bits[number / 8] & bit)
        return false;
    rom->seen_bits[number / 8] |= bit;
    rom->seen++;
    uint32_t offset = le_get32(block + 12) - FLASH_ADDRESS;
    if (offset + UF2_PAYLOAD <= IMAGE_SIZE)
        memcpy(flash + offset, block + 32, UF2_PAYLOAD);
    return rom->seen == rom->expected;
}

bool rom_write(struct rom *rom, uint8_t flash[IMAGE_SIZE], const uint8_t *bytes, size_t n)
{
    while (n > 0) {
        size_t taken = UF2_BLOCK - rom->n_block < n ? UF2_BLOCK - rom->n_block : n;
        memcpy(rom->block + rom->n_block, bytes, taken);
        rom->n_block += taken;
        bytes += taken;
        n -= taken;
        if (rom->n_block < UF2_BLOCK)
            return false;
        rom->n_block = 0;
        if (take_block(rom, flash))
            return true;
    }
    return false;
}
