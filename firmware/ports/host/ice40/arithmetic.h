/* What the nodes of a DSP block make of numbers: NODE_ARITHMETIC, whose `table` is one of these, plus flags. */
#ifndef ICE40_ARITHMETIC_H
#define ICE40_ARITHMETIC_H

#include <stdbool.h>
#include <stdint.h>

enum {
    ARITHMETIC_MULTIPLY, /* in[0] * in[1], of eight bits each */
    ARITHMETIC_SUM_LOW,  /* lower and upper half of in[0] + (in[1] + in[2] << 8) + (in[3] << 16) */
    ARITHMETIC_SUM_HIGH,
    ARITHMETIC_ADD,    /* in[0] + in[1] + in[3], or with the bit in[2]: in[1] - in[0] - in[3] */
    ARITHMETIC_CARRY,  /* of the same sum, in which in[2] has inverted in[1] */
    ARITHMETIC_SELECT, /* in[2] ? in[1] : in[0] */
    ARITHMETIC_HOW = 7,
    ARITHMETIC_FIRST_SIGNED = 8, /* of a product: in[0]; of a sum: in[1] */
    ARITHMETIC_SECOND_SIGNED = 16,
};

static inline uint32_t arithmetic_extend(uint32_t value, unsigned bits, bool is_signed)
{
    uint32_t top = (uint32_t)1 << (bits - 1);
    return is_signed ? (value ^ top) - top : value;
}

static inline uint16_t arithmetic_value(uint16_t table, const uint16_t in[4])
{
    bool first = table & ARITHMETIC_FIRST_SIGNED, second = table & ARITHMETIC_SECOND_SIGNED;
    uint32_t inverted = in[2] ? 0xffff : 0;
    switch (table & ARITHMETIC_HOW) {
    case ARITHMETIC_MULTIPLY:
        return (uint16_t)(arithmetic_extend(in[0], 8, first) * arithmetic_extend(in[1], 8, second));
    case ARITHMETIC_SUM_LOW:
        return (uint16_t)(in[0] + ((uint32_t)in[1] << 8) + ((uint32_t)in[2] << 8));
    case ARITHMETIC_SUM_HIGH:
        return (uint16_t)((in[0] + (arithmetic_extend(in[1], 16, first) << 8) + (arithmetic_extend(in[2], 16, second) << 8) +
                           ((uint32_t)in[3] << 16)) >>
                          16);
    case ARITHMETIC_ADD:
        return (uint16_t)((in[0] + (in[1] ^ inverted) + in[3]) ^ inverted);
    case ARITHMETIC_CARRY:
        return (in[0] + (in[1] ^ inverted) + in[3]) >> 16 & 1;
    default:
        return in[2] ? in[1] : in[0];
    }
}

/* Whether it makes a bit, not a number. */
static inline bool arithmetic_is_bit(uint16_t table)
{
    return (table & ARITHMETIC_HOW) == ARITHMETIC_CARRY;
}

#endif
