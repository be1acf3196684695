/* What a board can find out about itself, in some milliseconds. */
#include "selftest.h"

#include <string.h>

#include "crc32.h"
#include "evaluate.h"

enum { TEST_CRC = 1, TEST_LZ4 = 2, TEST_BUFFERS = 4, TEST_TEMPERATURE = 8, TEST_CLOCK = 16 };

static bool crc_is_right(void)
{
    return crc32_update(0, (const uint8_t *)"123456789", 9) == 0xcbf43926u;
}

/* "abc" as literals, 9 bytes from 3 back, "z": abcabcabcabcz. */
static bool lz4_is_right(void)
{
    static const uint8_t block[] = {0x35, 'a', 'b', 'c', 3, 0, 0x10, 'z'};
    uint8_t out[13];
    struct lz4_decoder decoder;
    lz4_begin(&decoder, out, sizeof out);
    lz4_feed(&decoder, block, sizeof block);
    return lz4_complete(&decoder) && decoder.length == sizeof out && memcmp(out, "abcabcabcabcz", sizeof out) == 0;
}

/* Words at a time, since buffers are large: four of them take a few milliseconds. */
static bool holds(uint8_t *bytes, size_t n, uint8_t pattern)
{
    uint32_t wrong = 0, word;
    memset(bytes, pattern, n);
    __asm__ volatile("" : : "r"(bytes) : "memory"); /* what is read comes from memory */
    size_t at = 0;
    for (; at + sizeof word <= n; at += sizeof word) {
        memcpy(&word, bytes + at, sizeof word);
        wrong |= word ^ pattern * 0x01010101u;
    }
    for (; at < n; at++)
        wrong |= (uint32_t)(bytes[at] ^ pattern);
    return wrong == 0;
}

static bool buffers_hold(struct core *core)
{
    for (uint8_t i = 0; i < core->n_slots; i++) {
        struct slot *slot = &core->slots[i];
        if (slot->state != SLOT_FREE)
            continue;
        slot_empty(slot);
        if (!holds(slot->bitstream, sizeof slot->bitstream, 0x55) || !holds(slot->bitstream, sizeof slot->bitstream, 0xaa))
            return false;
    }
    return true;
}

uint32_t selftest(struct core *core)
{
    uint64_t before = port_now_us(core->port);
    int16_t temperature = port_temperature(core->port);
    uint32_t failed = 0;
    failed |= crc_is_right() ? 0 : TEST_CRC;
    failed |= lz4_is_right() ? 0 : TEST_LZ4;
    failed |= buffers_hold(core) ? 0 : TEST_BUFFERS;
    failed |= temperature >= -4000 && temperature <= 12500 ? 0 : TEST_TEMPERATURE;
    failed |= port_now_us(core->port) >= before ? 0 : TEST_CLOCK;
    return failed;
}
