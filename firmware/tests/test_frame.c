/* Frames, against the vectors that the Python host checks as well. */
#include <stdarg.h>

#include "frame.h"
#include "vectors.h"

static uint8_t bytes[VECTOR_LINE], other[VECTOR_LINE], out[VECTOR_LINE];
static char events[4 * VECTOR_LINE];

static void a_frame_is_written_as_the_vectors_say(char **fields)
{
    size_t n = vector_bytes(fields[5], bytes);
    struct frame_header header = {(uint8_t)atoi(fields[2]), (uint8_t)atoi(fields[3]), (uint32_t)strtoul(fields[4], NULL, 10),
                                  (uint32_t)n};
    size_t expected = vector_bytes(fields[6], other);
    CHECK_EQUAL(frame_write(out, &header, bytes), expected);
    CHECK(memcmp(out, other, expected) == 0);
}

static void note(const char *format, ...)
{
    va_list arguments;
    size_t n = strlen(events);
    va_start(arguments, format);
    vsnprintf(events + n, sizeof events - n, format, arguments);
    va_end(arguments);
}

static void note_end(const struct frame_reader *reader, enum frame_event event, const uint8_t *payload, size_t n)
{
    note("%s%s:%u:%lu", events[0] != '\0' ? "," : "", event == FRAME_END ? "good" : "damaged", reader->header.type,
         (unsigned long)reader->header.id);
    if (event == FRAME_END)
        note(n > 0 ? ":" : ":-");
    for (size_t i = 0; event == FRAME_END && i < n; i++)
        note("%02x", payload[i]);
}

/* Read `n` bytes in pieces of at most `step`; returns how many were skipped. */
static uint32_t read_stream(size_t n, size_t step)
{
    struct frame_reader reader;
    struct frame_piece piece;
    size_t n_payload = 0;
    frame_reader_init(&reader);
    events[0] = '\0';
    for (size_t at = 0; at < n;) {
        size_t most = n - at < step ? n - at : step;
        at += frame_read(&reader, bytes + at, most, &piece);
        if (piece.event == FRAME_HEADER)
            n_payload = 0;
        if (piece.event == FRAME_BODY) {
            memcpy(other + n_payload, piece.bytes, piece.n);
            n_payload += piece.n;
        }
        if (piece.event == FRAME_END || piece.event == FRAME_CORRUPT)
            note_end(&reader, piece.event, other, n_payload);
    }
    return reader.skipped + reader.n_held;
}

static void a_stream_is_read_as_the_vectors_say(char **fields)
{
    size_t n = vector_bytes(fields[2], bytes);
    const char *expected = strcmp(fields[4], "-") == 0 ? "" : fields[4];
    for (size_t step = 1; step <= n + 1; step++) {
        CHECK_EQUAL(read_stream(n, step), atoi(fields[3]));
        if (strcmp(events, expected) != 0) {
            fprintf(stderr, "%s in pieces of %zu: %s, not %s\n", fields[1], step, events, expected);
            exit(1);
        }
    }
}

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    CHECK(vectors_each(argv[1], "frame", a_frame_is_written_as_the_vectors_say) >= 15);
    printf("ok a_frame_is_written_as_the_vectors_say\n");
    CHECK(vectors_each(argv[1], "stream", a_stream_is_read_as_the_vectors_say) >= 15);
    printf("ok a_stream_is_read_as_the_vectors_say\n");
    return 0;
}
