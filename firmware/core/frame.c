#include "frame.h"

#include <string.h>

#include "crc32.h"
#include "le.h"

void frame_reader_init(struct frame_reader *reader)
{
    memset(reader, 0, sizeof *reader);
}

void frame_drop(struct frame_reader *reader)
{
    reader->state = FRAME_IN_HEADER;
    reader->n_held = 0;
}

/* Drop bytes from the front of `held` until what is left may begin a frame. */
static void resynchronise(struct frame_reader *reader)
{
    size_t from = 1;
    while (from < reader->n_held) {
        int first = reader->held[from] == FRAME_MAGIC_0;
        int second = from + 1 == reader->n_held || reader->held[from + 1] == FRAME_MAGIC_1;
        if (first && second)
            break;
        from++;
    }
    reader->skipped += (uint32_t)from;
    reader->n_held = (uint8_t)(reader->n_held - from);
    memmove(reader->held, reader->held + from, reader->n_held);
}

static int header_is_sound(struct frame_reader *reader)
{
    const uint8_t *held = reader->held;
    uint32_t check = crc32_update(0, held, 12);
    if (le_get32(held + 12) != check)
        return 0;
    reader->header = (struct frame_header){held[2], held[3], le_get32(held + 4), le_get32(held + 8)};
    reader->left = reader->header.length;
    reader->crc = check;
    return 1;
}

static size_t read_header(struct frame_reader *reader, const uint8_t *bytes, size_t n, struct frame_piece *piece)
{
    size_t used = 0;
    while (used < n) {
        reader->held[reader->n_held++] = bytes[used++];
        if ((reader->n_held == 1 && reader->held[0] != FRAME_MAGIC_0) ||
            (reader->n_held == 2 && reader->held[1] != FRAME_MAGIC_1)) {
            resynchronise(reader);
            continue;
        }
        if (reader->n_held < FRAME_HEADER_SIZE)
            continue;
        if (header_is_sound(reader)) {
            reader->n_held = 0;
            reader->state = reader->left > 0 ? FRAME_IN_PAYLOAD : FRAME_IN_CHECK;
            piece->event = FRAME_HEADER;
            return used;
        }
        resynchronise(reader);
    }
    return used;
}

static size_t read_check(struct frame_reader *reader, const uint8_t *bytes, size_t n, struct frame_piece *piece)
{
    size_t used = 0;
    while (used < n && reader->n_held < FRAME_CHECK_SIZE)
        reader->held[reader->n_held++] = bytes[used++];
    if (reader->n_held == FRAME_CHECK_SIZE) {
        piece->event = le_get32(reader->held) == reader->crc ? FRAME_END : FRAME_CORRUPT;
        frame_drop(reader);
    }
    return used;
}

size_t frame_read(struct frame_reader *reader, const uint8_t *bytes, size_t n, struct frame_piece *piece)
{
    *piece = (struct frame_piece){FRAME_NEED_MORE, bytes, 0};
    if (reader->state == FRAME_IN_HEADER)
        return read_header(reader, bytes, n, piece);
    if (reader->state == FRAME_IN_CHECK)
        return read_check(reader, bytes, n, piece);
    size_t taken = n < reader->left ? n : reader->left;
    if (taken == 0)
        return 0;
    reader->crc = crc32_update(reader->crc, bytes, taken);
    reader->left -= (uint32_t)taken;
    if (reader->left == 0)
        reader->state = FRAME_IN_CHECK;
    *piece = (struct frame_piece){FRAME_BODY, bytes, taken};
    return taken;
}

size_t frame_write(uint8_t *out, const struct frame_header *header, const uint8_t *payload)
{
    if (header->length > 0 && payload != out + FRAME_HEADER_SIZE)
        memmove(out + FRAME_HEADER_SIZE, payload, header->length);
    out[0] = FRAME_MAGIC_0;
    out[1] = FRAME_MAGIC_1;
    out[2] = header->type;
    out[3] = header->flags;
    le_put32(out + 4, header->id);
    le_put32(out + 8, header->length);
    uint32_t check = crc32_update(0, out, 12);
    le_put32(out + 12, check);
    check = crc32_update(check, out + FRAME_HEADER_SIZE, header->length);
    le_put32(out + FRAME_HEADER_SIZE + header->length, check);
    return FRAME_OVERHEAD + (size_t)header->length;
}
