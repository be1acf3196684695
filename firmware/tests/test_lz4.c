/* The LZ4 decoder, in pieces of every size, against blocks made by the reference implementation and damaged ones. */
#include <stdbool.h>

#include "lz4.h"
#include "vectors.h"

enum { SMALL = 64 };

static uint8_t block[VECTOR_LINE], expected[VECTOR_LINE];

/* On the heap, and as long as the capacity, so that a byte past it is seen. */
static bool decodes(size_t n_block, size_t capacity, size_t step, const uint8_t *wanted, size_t n_wanted)
{
    struct lz4_decoder decoder;
    uint8_t *out = malloc(capacity > 0 ? capacity : 1);
    CHECK(out != NULL);
    lz4_begin(&decoder, out, capacity);
    for (size_t at = 0; at < n_block; at += step)
        lz4_feed(&decoder, block + at, n_block - at < step ? n_block - at : step);
    bool right = lz4_complete(&decoder) && decoder.length == n_wanted && (n_wanted == 0 || memcmp(out, wanted, n_wanted) == 0);
    free(out);
    return right;
}

static bool is_refused(size_t n_block, size_t step)
{
    struct lz4_decoder decoder;
    uint8_t out[SMALL];
    lz4_begin(&decoder, out, sizeof out);
    for (size_t at = 0; at < n_block; at += step)
        lz4_feed(&decoder, block + at, n_block - at < step ? n_block - at : step);
    return !lz4_complete(&decoder);
}

static void a_block_decodes_as_the_vectors_say(char **fields)
{
    size_t n_block = vector_bytes(fields[2], block);
    for (size_t step = 1; step <= n_block + 1; step++) {
        if (strcmp(fields[3], "damaged") == 0) {
            CHECK(is_refused(n_block, step));
            continue;
        }
        size_t n = vector_bytes(fields[3], expected);
        CHECK(decodes(n_block, n, step, expected, n));
        CHECK(n == 0 || !decodes(n_block, n - 1, step, expected, n));
    }
}

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    CHECK(vectors_each(argv[1], "lz4", a_block_decodes_as_the_vectors_say) >= 10);
    printf("ok a_block_decodes_as_the_vectors_say\n");
    return 0;
}
