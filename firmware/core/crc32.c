#include "crc32.h"

#include "crc32_table.h"
#include "le.h"

/* Eight bytes a step (slicing-by-8, Kounavis and Berry 2005). */
uint32_t crc32_update(uint32_t crc, const uint8_t *bytes, size_t n)
{
    crc = ~crc;
    for (; n >= 8; n -= 8, bytes += 8) {
        uint32_t low = crc ^ le_get32(bytes);
        uint32_t high = le_get32(bytes + 4);
        crc = crc32_table[7][low & 0xff] ^ crc32_table[6][(low >> 8) & 0xff] ^ crc32_table[5][(low >> 16) & 0xff] ^
              crc32_table[4][low >> 24] ^ crc32_table[3][high & 0xff] ^ crc32_table[2][(high >> 8) & 0xff] ^
              crc32_table[1][(high >> 16) & 0xff] ^ crc32_table[0][high >> 24];
    }
    for (; n > 0; n--)
        crc = (crc >> 8) ^ crc32_table[0][(crc ^ *bytes++) & 0xff];
    return ~crc;
}
