/* The wires and switches of the iCE40UP5K, from Project IceStorm's chip database (generate_chipdb.py).
 *
 * The grid is 26 x 32 tiles, (0, 0) at the left bottom. A wire has a name in each tile that it touches; all names of one wire
 * are one net. Nets have numbers from 1; 0 means that there is no such wire. */
#ifndef CHIPDB_H
#define CHIPDB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chipdb_names.h"

enum { CHIP_WIDTH = 26, CHIP_HEIGHT = 32, CHIP_TILES = CHIP_WIDTH * CHIP_HEIGHT, CHIP_NO_LIST = 0xffffff };

/* The generated tables. Lists of a tile are offsets into chip_words. */
struct chip_tile {
    uint32_t switches, links;
};
struct chip_cell {
    uint8_t kind, x, y, z;
    uint16_t first_port, n_ports;
};
struct chip_port {
    uint8_t x, y;
    uint16_t what; /* a name, or CHIP_BIT plus a configuration bit of the tile */
};
struct chip_pin {
    uint8_t pin, x, y, z;
};
struct chip_enable {
    uint8_t x, y, z, enable_x, enable_y, enable_z; /* the IO tile whose REN and IE bits are a pin's */
};
struct chip_global {
    uint8_t pad_x, pad_y, pad_z, fabric_x, fabric_y, bank;
    uint16_t bit_x, bit_y; /* the CRAM bit that takes the network from the pad instead of from the fabric */
};
enum { CHIP_BIT = 0x8000 };

extern const uint16_t chip_words[];
extern const struct chip_tile chip_tiles[];
extern const struct chip_cell chip_cells[];
extern const uint16_t chip_n_cells;
extern const struct chip_port chip_ports[];
extern const struct chip_pin chip_pins[];
extern const uint8_t chip_n_pins;
extern const struct chip_enable chip_enables[];
extern const uint8_t chip_n_enables;
extern const struct chip_global chip_globals[8];

static inline unsigned chip_tile_at(unsigned x, unsigned y)
{
    return y * CHIP_WIDTH + x;
}

/* The tables as nets, made once for all designs; NULL if there is no memory. */
struct chip *chip_open(void);
void chip_close(struct chip *chip);

uint32_t chip_n_nets(const struct chip *chip);
uint32_t chip_net(const struct chip *chip, unsigned x, unsigned y, unsigned name);

/* Where a net begins: the output of a cell, as tile (y * CHIP_WIDTH + x) and name, or false if no cell drives it. The PLL's LOCK
 * has no name in a tile; CHIP_OUTPUT_LOCK stands for it. */
enum { CHIP_OUTPUT_LOCK = NAME_IP_CLK };
struct chip_output {
    uint16_t tile, name;
};
bool chip_output(const struct chip *chip, uint32_t net, struct chip_output *output);

/* A switch that may drive a net. Where all its bits are 0 it connects nothing. */
struct chip_switch {
    uint32_t words; /* where its bits begin in chip_words (64 * row + column in the tile), and then its choices */
    uint16_t tile;
    uint8_t n_bits, n_choices; /* a choice is value << 10 | name in the tile; the first bit is the highest of the value */
};

/* The switches of a net, and behind the last. */
const struct chip_switch *chip_switches(const struct chip *chip, uint32_t net, const struct chip_switch **end);

#endif
