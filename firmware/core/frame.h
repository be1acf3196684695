/* Frames: written whole, read from any split of the bytes. No I/O and no memory of its own beyond the reader's struct. */
#ifndef FRAME_H
#define FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "protocol.h"

struct frame_header {
    uint8_t type;
    uint8_t flags;
    uint32_t id;
    uint32_t length;
};

enum frame_event {
    FRAME_NEED_MORE, /* all bytes were taken */
    FRAME_HEADER,    /* reader->header is sound; its payload follows */
    FRAME_BODY,      /* piece->bytes[0..n) are the next bytes of the payload, not yet checked */
    FRAME_END,       /* the payload check is right */
    FRAME_CORRUPT,   /* the payload check is wrong */
};

struct frame_piece {
    enum frame_event event;
    const uint8_t *bytes;
    size_t n;
};

struct frame_reader {
    enum { FRAME_IN_HEADER, FRAME_IN_PAYLOAD, FRAME_IN_CHECK } state;
    uint8_t held[FRAME_HEADER_SIZE];
    uint8_t n_held;
    struct frame_header header;
    uint32_t left;
    uint32_t crc;
    uint32_t skipped;
};

void frame_reader_init(struct frame_reader *reader);

/* Take bytes up to the next event; returns how many were taken. Call again with the rest until FRAME_NEED_MORE. */
size_t frame_read(struct frame_reader *reader, const uint8_t *bytes, size_t n, struct frame_piece *piece);

/* Whether a frame's header was taken and its end was not. */
static inline int frame_inside(const struct frame_reader *reader)
{
    return reader->state != FRAME_IN_HEADER;
}

/* Whether any byte of an unfinished frame is held. */
static inline int frame_partial(const struct frame_reader *reader)
{
    return reader->state != FRAME_IN_HEADER || reader->n_held > 0;
}

/* Forget the frame half received; the count of skipped bytes stays. */
void frame_drop(struct frame_reader *reader);

/* Write a frame to `out`, which has room for length + FRAME_OVERHEAD bytes; returns its size. `payload` may already lie at
 * out + FRAME_HEADER_SIZE. */
size_t frame_write(uint8_t *out, const struct frame_header *header, const uint8_t *payload);

#endif
