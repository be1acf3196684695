/* The ways that signals take across the chip, noted while a circuit is traced: for pictures. */
#ifndef ICE40_ROUTES_H
#define ICE40_ROUTES_H

#include <stdint.h>

enum { ROUTES_MAX = 100000 };

/* From a tile to the next on the way back to what drives a wire (y * CHIP_WIDTH + x). Global networks are left out. */
struct leg {
    uint16_t from, to;
};

struct routes {
    uint32_t n;
    struct leg legs[ROUTES_MAX];
};

#endif
