/* Small hashes for things that must be scattered and the same each time: serials, weights, noise. */
#ifndef HASH_H
#define HASH_H

#include <stdint.h>

/* The output function of SplitMix64 (Steele, Lea, Flood 2014). */
static inline uint64_t hash_mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static inline uint64_t hash_text(uint64_t seed, const char *text)
{
    for (; *text != '\0'; text++)
        seed = hash_mix(seed ^ (uint8_t)*text);
    return seed;
}

#endif
