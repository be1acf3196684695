#include "difference.h"

#include <string.h>

enum { BITS = 7, GOES_ON = 0x80, BITS_MAX = 3 * BITS };

void difference_begin(struct difference_decoder *decoder, uint8_t *out, size_t length)
{
    *decoder = (struct difference_decoder){.out = out, .length = length, .state = DIFFERENCE_GAP};
}

/* A gap is whole, or a length: each leaves a byte at least for what follows. */
static void take_number(struct difference_decoder *decoder)
{
    size_t rest = decoder->length - decoder->at;
    decoder->shift = 0;
    if (decoder->state == DIFFERENCE_GAP && decoder->number < rest) {
        decoder->at += decoder->number;
        decoder->number = 0;
        decoder->state = DIFFERENCE_LENGTH;
    } else if (decoder->state == DIFFERENCE_LENGTH && decoder->number > 0 && decoder->number <= rest) {
        decoder->state = DIFFERENCE_BYTES;
    } else {
        decoder->state = DIFFERENCE_DAMAGED;
    }
}

static void take_digit(struct difference_decoder *decoder, uint8_t byte)
{
    decoder->number |= (size_t)(byte & (GOES_ON - 1)) << decoder->shift;
    decoder->shift += BITS;
    if ((byte & GOES_ON) == 0)
        take_number(decoder);
    else if (decoder->shift == BITS_MAX)
        decoder->state = DIFFERENCE_DAMAGED;
}

static size_t take_run(struct difference_decoder *decoder, const uint8_t *bytes, size_t n)
{
    size_t taken = n < decoder->number ? n : decoder->number;
    memcpy(decoder->out + decoder->at, bytes, taken);
    decoder->at += taken;
    decoder->number -= taken;
    if (decoder->number == 0)
        decoder->state = DIFFERENCE_GAP;
    return taken;
}

void difference_feed(struct difference_decoder *decoder, const uint8_t *bytes, size_t n)
{
    while (n > 0 && decoder->state != DIFFERENCE_DAMAGED) {
        size_t taken = 1;
        if (decoder->state == DIFFERENCE_BYTES)
            taken = take_run(decoder, bytes, n);
        else
            take_digit(decoder, *bytes);
        bytes += taken;
        n -= taken;
    }
}

bool difference_complete(const struct difference_decoder *decoder)
{
    return decoder->state == DIFFERENCE_GAP && decoder->shift == 0;
}
