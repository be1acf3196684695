#include "lz4.h"

#include <string.h>

enum { MINIMUM_MATCH = 4, LENGTH_GOES_ON = 15 };

void lz4_begin(struct lz4_decoder *decoder, uint8_t *out, size_t capacity)
{
    *decoder = (struct lz4_decoder){.out = out, .capacity = capacity, .state = LZ4_TOKEN};
}

/* A match may overlap what it writes: copy what is there, and so double it, until the length is reached. */
static int copy_match(struct lz4_decoder *decoder)
{
    size_t left = decoder->match;
    if (decoder->offset == 0 || decoder->offset > decoder->length || left > decoder->capacity - decoder->length)
        return 0;
    uint8_t *to = decoder->out + decoder->length;
    const uint8_t *from = to - decoder->offset;
    decoder->length += left;
    if (decoder->offset == 1) {
        memset(to, *from, left);
        return 1;
    }
    while (left > 0) {
        size_t there = (size_t)(to - from);
        size_t n = left < there ? left : there;
        memcpy(to, from, n);
        to += n;
        left -= n;
    }
    return 1;
}

static size_t copy_literals(struct lz4_decoder *decoder, const uint8_t *bytes, size_t n)
{
    size_t taken = n < decoder->literals ? n : decoder->literals;
    if (taken > decoder->capacity - decoder->length) {
        decoder->state = LZ4_DAMAGED;
        return n;
    }
    memcpy(decoder->out + decoder->length, bytes, taken);
    decoder->length += taken;
    decoder->literals -= taken;
    if (decoder->literals == 0)
        decoder->state = LZ4_OFFSET_LOW;
    return taken;
}

static void end_of_match_length(struct lz4_decoder *decoder)
{
    decoder->state = copy_match(decoder) ? LZ4_TOKEN : LZ4_DAMAGED;
}

static void take_token(struct lz4_decoder *decoder, uint8_t token)
{
    decoder->literals = token >> 4;
    decoder->match = (token & 15u) + MINIMUM_MATCH;
    if (decoder->literals == LENGTH_GOES_ON)
        decoder->state = LZ4_LITERAL_LENGTH;
    else
        decoder->state = decoder->literals > 0 ? LZ4_LITERALS : LZ4_OFFSET_LOW;
}

/* Add a byte to a length that goes on; returns whether it ends there. A length past the capacity is damage. */
static int extend(struct lz4_decoder *decoder, size_t *length, uint8_t byte)
{
    *length += byte;
    if (*length > decoder->capacity + MINIMUM_MATCH) {
        decoder->state = LZ4_DAMAGED;
        return 0;
    }
    return byte != 255;
}

static void take_byte(struct lz4_decoder *decoder, uint8_t byte)
{
    switch (decoder->state) {
    case LZ4_TOKEN:
        take_token(decoder, byte);
        break;
    case LZ4_LITERAL_LENGTH:
        if (extend(decoder, &decoder->literals, byte))
            decoder->state = LZ4_LITERALS;
        break;
    case LZ4_OFFSET_LOW:
        decoder->offset = byte;
        decoder->state = LZ4_OFFSET_HIGH;
        break;
    case LZ4_OFFSET_HIGH:
        decoder->offset |= (size_t)byte << 8;
        if (decoder->match == LENGTH_GOES_ON + MINIMUM_MATCH)
            decoder->state = LZ4_MATCH_LENGTH;
        else
            end_of_match_length(decoder);
        break;
    case LZ4_MATCH_LENGTH:
        if (extend(decoder, &decoder->match, byte))
            end_of_match_length(decoder);
        break;
    case LZ4_LITERALS:
    case LZ4_DAMAGED:
        break;
    }
}

void lz4_feed(struct lz4_decoder *decoder, const uint8_t *bytes, size_t n)
{
    while (n > 0 && decoder->state != LZ4_DAMAGED) {
        size_t taken = 1;
        if (decoder->state == LZ4_LITERALS)
            taken = copy_literals(decoder, bytes, n);
        else
            take_byte(decoder, *bytes);
        bytes += taken;
        n -= taken;
    }
}

int lz4_complete(const struct lz4_decoder *decoder)
{
    /* After its last literals a block has no offset; an empty block is one token of no literals. */
    return decoder->state == LZ4_OFFSET_LOW;
}
