/* Decoder of one LZ4 block (LZ4 block format description), fed in pieces of any size, straight into its destination. */
#ifndef LZ4_H
#define LZ4_H

#include <stddef.h>
#include <stdint.h>

enum lz4_state {
    LZ4_TOKEN,
    LZ4_LITERAL_LENGTH,
    LZ4_LITERALS,
    LZ4_OFFSET_LOW,
    LZ4_OFFSET_HIGH,
    LZ4_MATCH_LENGTH,
    LZ4_DAMAGED,
};

struct lz4_decoder {
    uint8_t *out;
    size_t capacity;
    size_t length; /* decoded so far */
    enum lz4_state state;
    size_t literals;
    size_t match;
    size_t offset;
};

void lz4_begin(struct lz4_decoder *decoder, uint8_t *out, size_t capacity);

/* Decode the next piece. Writes never pass the capacity, whatever the bytes are. */
void lz4_feed(struct lz4_decoder *decoder, const uint8_t *bytes, size_t n);

/* Whether the bytes so far are a whole block: it ends after literals. */
int lz4_complete(const struct lz4_decoder *decoder);

#endif
