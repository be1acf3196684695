/* Decoder of a bitstream's difference from another one of the same length (docs/protocol.md, "Differences"), fed in pieces of any
 * size, straight into a copy of the other one. */
#ifndef DIFFERENCE_H
#define DIFFERENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum difference_state {
    DIFFERENCE_GAP,
    DIFFERENCE_LENGTH,
    DIFFERENCE_BYTES,
    DIFFERENCE_DAMAGED,
};

struct difference_decoder {
    uint8_t *out;
    size_t length;
    enum difference_state state;
    size_t at; /* where the next byte goes */
    size_t number; /* the gap or the length of a run, as far as it is known */
    unsigned shift; /* where its next bits go */
};

void difference_begin(struct difference_decoder *decoder, uint8_t *out, size_t length);

/* Decode the next piece. Writes never pass the length, whatever the bytes are. */
void difference_feed(struct difference_decoder *decoder, const uint8_t *bytes, size_t n);

/* Whether the bytes so far are a whole difference: it ends after a run, or has none. */
bool difference_complete(const struct difference_decoder *decoder);

#endif
