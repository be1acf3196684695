#include "chipdb.h"

#include <stdlib.h>
#include <string.h>

struct chip {
    uint32_t n_nets;
    uint32_t *nets; /* by tile and name */
    struct chip_output *outputs;
    uint32_t *first_switch; /* by net, and one more */
    struct chip_switch *switches;
};

/* Offset number `i` of the list of lists at `list`. */
static uint32_t part(uint32_t list, unsigned i)
{
    return chip_words[list + 1 + 2 * i] | (uint32_t)chip_words[list + 2 + 2 * i] << 16;
}

static uint32_t *slot(const struct chip *chip, unsigned tile, unsigned name)
{
    return &chip->nets[tile * NAMES + name];
}

/* Links go from the lower tile to the higher one, by x and then y, so a net's first wire is met first. */
static void follow_links(struct chip *chip, unsigned x, unsigned y, uint32_t links)
{
    unsigned tile = y * CHIP_WIDTH + x;
    for (unsigned n = chip_words[links], i = 0; i < n; i++) {
        const uint16_t *link = &chip_words[links + 1 + 3 * i];
        uint32_t *here = slot(chip, tile, link[0]);
        if (*here == 0)
            *here = ++chip->n_nets;
        unsigned dx = link[1] >> 8;
        int dy = (int8_t)(link[1] & 0xff);
        *slot(chip, (unsigned)((int)y + dy) * CHIP_WIDTH + x + dx, link[2]) = *here;
    }
}

static void number_nets(struct chip *chip)
{
    for (unsigned x = 0; x < CHIP_WIDTH; x++) {
        for (unsigned y = 0; y < CHIP_HEIGHT; y++) {
            uint32_t list = chip_tiles[y * CHIP_WIDTH + x].links;
            if (list == CHIP_NO_LIST)
                continue;
            for (unsigned i = 0; i < chip_words[list]; i++)
                follow_links(chip, x, y, part(list, i));
        }
    }
}

/* Names of wires that a cell drives. SLF_OP stands for the outputs of cells at fixed places. */
static bool is_output(unsigned name)
{
    return (name >= NAME_LUT_OUT && name < NAME_LUT_OUT + 24) || (name >= NAME_D_IN && name < NAME_D_IN + 4) ||
           (name >= NAME_RDATA && name < NAME_RDATA + 16) || (name >= NAME_SLF_OP && name < NAME_SLF_OP + 8) ||
           (name >= NAME_MULT_O && name < NAME_MULT_O + 32) || (name >= NAME_GLB && name < NAME_GLB + 8);
}

/* The output of the PLL that says it is locked comes from a corner, where no tile has a name for it. */
static void note_lock(struct chip *chip, const struct chip_cell *cell)
{
    const struct chip_port *port = &chip_ports[cell->first_port + PLL_LOCK];
    unsigned tile = chip_tile_at(cell->x, cell->y);
    chip->outputs[chip_net(chip, port->x, port->y, port->what)] = (struct chip_output){(uint16_t)tile, CHIP_OUTPUT_LOCK};
}

static void note_outputs(struct chip *chip)
{
    for (unsigned tile = 0; tile < CHIP_TILES; tile++)
        for (unsigned name = 0; name < NAMES; name++)
            if (is_output(name) && *slot(chip, tile, name) != 0)
                chip->outputs[*slot(chip, tile, name)] = (struct chip_output){(uint16_t)tile, (uint16_t)name};
    for (unsigned i = 0; i < chip_n_cells; i++)
        if (chip_cells[i].kind == CELL_PLL)
            note_lock(chip, &chip_cells[i]);
}

/* Call for each switch: once to count, and once to place. */
static void each_switch(struct chip *chip, void (*visit)(struct chip *, uint32_t net, unsigned tile, uint32_t pattern))
{
    for (unsigned tile = 0; tile < CHIP_TILES; tile++) {
        uint32_t list = chip_tiles[tile].switches;
        if (list == CHIP_NO_LIST)
            continue;
        for (unsigned i = 0; i < chip_words[list]; i++) {
            uint32_t pattern = part(list, i);
            visit(chip, *slot(chip, tile, chip_words[pattern]), tile, pattern);
        }
    }
}

static void count_switch(struct chip *chip, uint32_t net, unsigned tile, uint32_t pattern)
{
    (void)tile;
    (void)pattern;
    chip->first_switch[net]++;
}

/* Goes backwards through each net's share, so that first_switch ends at its first. A pattern is a name, then the numbers of bits and of
 * choices, then these. */
static void place_switch(struct chip *chip, uint32_t net, unsigned tile, uint32_t pattern)
{
    uint16_t amounts = chip_words[pattern + 1];
    chip->switches[--chip->first_switch[net]] =
        (struct chip_switch){pattern + 2, (uint16_t)tile, (uint8_t)(amounts >> 8), (uint8_t)(amounts & 0xff)};
}

static bool note_switches(struct chip *chip)
{
    chip->first_switch = calloc(chip->n_nets + 2, sizeof *chip->first_switch);
    if (chip->first_switch == NULL)
        return false;
    each_switch(chip, count_switch);
    for (uint32_t net = 1; net <= chip->n_nets + 1; net++)
        chip->first_switch[net] += chip->first_switch[net - 1];
    chip->switches = malloc((chip->first_switch[chip->n_nets + 1] + 1) * sizeof *chip->switches);
    if (chip->switches == NULL)
        return false;
    each_switch(chip, place_switch);
    return true;
}

struct chip *chip_open(void)
{
    struct chip *chip = calloc(1, sizeof *chip);
    if (chip == NULL)
        return NULL;
    chip->nets = calloc((size_t)CHIP_TILES * NAMES, sizeof *chip->nets);
    if (chip->nets != NULL)
        number_nets(chip);
    chip->outputs = calloc(chip->n_nets + 1, sizeof *chip->outputs);
    if (chip->nets == NULL || chip->outputs == NULL || !note_switches(chip)) {
        chip_close(chip);
        return NULL;
    }
    note_outputs(chip);
    return chip;
}

void chip_close(struct chip *chip)
{
    if (chip == NULL)
        return;
    free(chip->nets);
    free(chip->outputs);
    free(chip->first_switch);
    free(chip->switches);
    free(chip);
}

uint32_t chip_n_nets(const struct chip *chip)
{
    return chip->n_nets;
}

uint32_t chip_net(const struct chip *chip, unsigned x, unsigned y, unsigned name)
{
    return *slot(chip, y * CHIP_WIDTH + x, name);
}

bool chip_output(const struct chip *chip, uint32_t net, struct chip_output *output)
{
    *output = chip->outputs[net];
    return output->name != 0; /* name 0 is an input of a LUT */
}

const struct chip_switch *chip_switches(const struct chip *chip, uint32_t net, const struct chip_switch **end)
{
    *end = chip->switches + chip->first_switch[net + 1];
    return chip->switches + chip->first_switch[net];
}
