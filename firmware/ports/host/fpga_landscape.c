/* A smooth function of the configuration's bits, for bitstreams that nothing is known about.
 *
 * The bitstream is cut into 64 regions. Each bit has a fixed weight of -3, -1, 1 or 3 that depends on its position alone; a
 * region's level is the weighted sum of its set bits, squashed to -1..1. The levels, each with a factor that the pin has for it, and
 * the products of neighbouring levels (epistasis: what one region does depends on another) are summed and squashed to 0..100 kHz. One bit changes one level
 * a little, so near bitstreams have near frequencies. Only +, *, / and absolute values: the same on every machine. */
#include <stdbool.h>
#include <string.h>

#include "fpga_model.h"
#include "hash.h"

enum { REGIONS = 64, WORDS = 13012, WORDS_PER_REGION = (WORDS + REGIONS - 1) / REGIONS };

static const double GREATEST_HZ = 100000;
/* A region's weighted sum at which its level is one half. */
static const double HALF_LEVEL = 200;
/* The spread of the sum over levels and products, roughly: its square root of 64. */
static const double HALF_TOTAL = 8;

/* Signs and sizes of the weights: weight of bit b = (large[b] ? 3 : 1) * (minus[b] ? -1 : 1). Made once, then only read. */
static uint64_t minus[WORDS], large[WORDS];
static bool made;

static void make_weights(void)
{
    for (uint64_t i = 0; i < WORDS; i++) {
        minus[i] = hash_mix(2 * i);
        large[i] = hash_mix(2 * i + 1);
    }
    made = true;
}

/* Set bits in each byte of a word, as eight counts side by side. */
static inline uint64_t count_by_byte(uint64_t x)
{
    x -= (x >> 1) & 0x5555555555555555u;
    x = (x & 0x3333333333333333u) + ((x >> 2) & 0x3333333333333333u);
    return (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0fu;
}

static inline int count(uint64_t x)
{
    return (int)(count_by_byte(x) * 0x0101010101010101u >> 56);
}

/* Weighted sum of the set bits of one word: all of them, less twice the minus ones; and the large ones twice more. */
static inline int weigh(uint64_t word, uint64_t negative, uint64_t big)
{
    int ones = count(word) - 2 * count(word & negative);
    int more = count(word & big) - 2 * count(word & negative & big);
    return ones + 2 * more;
}

static double squash(double x)
{
    return x / (1 + (x < 0 ? -x : x));
}

static double level(const uint8_t *bitstream, size_t length, size_t region)
{
    int sum = 0;
    for (size_t i = region * WORDS_PER_REGION; i < (region + 1) * WORDS_PER_REGION && i < WORDS && 8 * i < length; i++) {
        uint64_t word = 0;
        memcpy(&word, bitstream + 8 * i, length - 8 * i < 8 ? length - 8 * i : 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        word = __builtin_bswap64(word);
#endif
        if (word != 0)
            sum += weigh(word, minus[i], large[i]);
    }
    return squash(sum / HALF_LEVEL);
}

double landscape_frequency(const uint8_t *bitstream, size_t length, uint32_t pin)
{
    if (!made)
        make_weights();
    uint64_t other = (uint64_t)(pin ^ MODEL_PIN) << 32;
    double total = 0, previous = 0;
    for (size_t region = 0; region < REGIONS; region++) {
        double now = level(bitstream, length, region);
        uint64_t hash = hash_mix(~(uint64_t)region ^ other);
        double factor = ((double)(hash & 0xffff) / 32768 - 1) * 3;
        double epistasis = ((double)(hash >> 16 & 0xffff) / 32768 - 1) * 3;
        total += factor * now + epistasis * now * previous;
        previous = now;
    }
    return GREATEST_HZ * (1 + squash(total / HALF_TOTAL)) / 2;
}
