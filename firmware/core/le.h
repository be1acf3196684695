/* Little-endian numbers in byte arrays, at any alignment. */
#ifndef LE_H
#define LE_H

#include <stdint.h>

static inline uint16_t le_get16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t le_get32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline void le_put16(uint8_t *p, uint16_t value)
{
    p[0] = (uint8_t)value;
    p[1] = (uint8_t)(value >> 8);
}

static inline void le_put32(uint8_t *p, uint32_t value)
{
    le_put16(p, (uint16_t)value);
    le_put16(p + 2, (uint16_t)(value >> 16));
}

static inline void le_put64(uint8_t *p, uint64_t value)
{
    le_put32(p, (uint32_t)value);
    le_put32(p + 4, (uint32_t)(value >> 32));
}

#endif
