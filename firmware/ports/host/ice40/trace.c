/* Follows the configuration back from pins to what drives them, cell by cell. Each cell becomes nodes when it is first met, and its
 * inputs are followed in the order in which cells were met: no recursion, whatever the circuit. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "netlist.h"
#include "trace.h"

enum { HOPS_MAX = 4096 };

static bool within(unsigned name, unsigned first, unsigned n)
{
    return name >= first && name < first + n;
}

static unsigned key(unsigned tile, unsigned name)
{
    return tile * MADE_NAMES + name;
}

static node_id add_node(struct trace *trace, struct node node)
{
    if (trace->netlist->n_nodes == NODES_MAX) {
        trace->wrong = "it has more cells than the simulator takes";
        return 0;
    }
    trace->netlist->nodes[trace->netlist->n_nodes] = node;
    return trace->netlist->n_nodes++;
}

node_id trace_cell(struct trace *trace, unsigned tile, unsigned name)
{
    node_id *known = &trace->room->cells[key(tile, name)];
    if (*known == 0)
        *known = add_node(trace, (struct node){.kind = NODE_PENDING, .name = (uint8_t)name, .tile = (uint16_t)tile});
    return *known;
}

node_id trace_gate(struct trace *trace, unsigned tile, uint16_t table, node_id a, node_id b, node_id c)
{
    struct node gate = {.kind = NODE_GATE, .name = MADE_GATE, .tile = (uint16_t)tile, .table = table, .in = {a, b, c, 0}};
    return add_node(trace, gate);
}

/* A number from bits, the lowest first. */
node_id trace_word(struct trace *trace, unsigned tile, const node_id *in, unsigned n)
{
    struct netlist *netlist = trace->netlist;
    if (netlist->n_words == WORDS_MAX) {
        trace->wrong = "it has more numbers than the simulator takes";
        return 0;
    }
    struct word *word = &netlist->words[netlist->n_words];
    word->n = (uint8_t)n;
    memcpy(word->in, in, n * sizeof *in);
    return add_node(
        trace,
        (struct node){.kind = NODE_WORD, .name = MADE_GATE, .tile = (uint16_t)tile, .index = (uint16_t)netlist->n_words++});
}

node_id trace_unmodelled(struct trace *trace, const char *what, unsigned tile)
{
    struct netlist *netlist = trace->netlist;
    uint32_t most = sizeof netlist->unmodelled / sizeof *netlist->unmodelled, index = 0;
    char text[NETLIST_TEXT];
    snprintf(text, sizeof text, "%s at tile (%u, %u)", what, tile % CHIP_WIDTH, tile / CHIP_WIDTH);
    while (index < netlist->n_unmodelled && strcmp(netlist->unmodelled[index], text) != 0)
        index++;
    index = index < most ? index : most - 1;
    memcpy(netlist->unmodelled[index], text, sizeof text);
    netlist->n_unmodelled += index == netlist->n_unmodelled;
    return add_node(
        trace, (struct node){.kind = NODE_UNMODELLED, .name = MADE_GATE, .tile = (uint16_t)tile, .index = (uint16_t)index});
}

node_id trace_source(struct trace *trace, struct source source)
{
    struct netlist *netlist = trace->netlist;
    for (uint32_t i = 0; i < netlist->n_sources; i++)
        if (strcmp(netlist->sources[i].text, source.text) == 0)
            return trace->source_nodes[i];
    if (netlist->n_sources == SOURCES_MAX) {
        trace->wrong = "it has more clocks than the simulator takes";
        return 0;
    }
    uint32_t index = netlist->n_sources++;
    netlist->sources[index] = source;
    trace->source_nodes[index] =
        add_node(trace, (struct node){.kind = NODE_SOURCE, .name = MADE_GATE, .index = (uint16_t)index});
    return trace->source_nodes[index];
}

bool trace_bit(const struct trace *trace, unsigned tile, unsigned bit)
{
    return config_bit(config_tile(trace->config, tile), bit);
}

/* The wire that a switch connects as it is set, as a name in its tile; false where it connects none. */
static bool switch_source(const struct trace *trace, const struct chip_switch *way, unsigned *name)
{
    const uint64_t *rows = config_tile(trace->config, way->tile);
    const uint16_t *bits = &chip_words[way->words], *choices = bits + way->n_bits;
    unsigned value = 0;
    for (unsigned i = 0; i < way->n_bits; i++)
        value = value << 1 | config_bit(rows, bits[i]);
    for (unsigned i = 0; i < way->n_choices && value != 0; i++) {
        *name = choices[i] & 0x3ff;
        if (choices[i] >> 10 == value)
            return true;
    }
    return false;
}

/* What a net is driven by through switches. `carry` says that it is a tile's carry-in multiplexer, which has a cell of its own. */
struct hop {
    uint32_t net;
    unsigned tile, n;
    bool carry;
};

static struct hop hop_back(const struct trace *trace, uint32_t net)
{
    struct hop hop = {0};
    const struct chip_switch *end, *way = chip_switches(trace->chip, net, &end);
    for (; way < end; way++) {
        unsigned name;
        if (!switch_source(trace, way, &name))
            continue;
        uint32_t source = chip_net(trace->chip, way->tile % CHIP_WIDTH, way->tile / CHIP_WIDTH, name);
        if (hop.n > 0 && source == hop.net)
            continue;
        hop = (struct hop){source, way->tile, hop.n + 1, name == NAME_CARRY_IN_MUX};
    }
    return hop;
}

bool trace_is_driven(const struct trace *trace, unsigned tile, unsigned name)
{
    uint32_t net = chip_net(trace->chip, tile % CHIP_WIDTH, tile / CHIP_WIDTH, name);
    return net != 0 && hop_back(trace, net).n > 0;
}

static void note_leg(struct routes *routes, unsigned *at, unsigned to)
{
    if (routes != NULL && *at != to && routes->n < ROUTES_MAX)
        routes->legs[routes->n++] = (struct leg){(uint16_t)*at, (uint16_t)to};
    *at = to;
}

/* Follow a net, which begins in a tile, to the cell that drives it. An undriven one is 0, and so is a ring of switches that nothing
 * drives. */
static node_id follow(struct trace *trace, uint32_t net, unsigned tile, node_id undriven)
{
    for (unsigned hops = 0; net != 0 && hops < HOPS_MAX; hops++) {
        struct chip_output output;
        if (chip_output(trace->chip, net, &output)) {
            if (!within(output.name, NAME_GLB, 8))
                note_leg(trace->routes, &tile, output.tile);
            return trace_cell(trace, output.tile, output.name);
        }
        struct hop hop = hop_back(trace, net);
        if (hop.n > 1)
            return trace_unmodelled(trace, "two drivers on one wire", hop.tile);
        if (hop.n == 0)
            return undriven;
        note_leg(trace->routes, &tile, hop.tile);
        if (hop.carry)
            return trace_cell(trace, hop.tile, NAME_CARRY_IN_MUX);
        net = hop.net;
    }
    return undriven;
}

node_id trace_wire(struct trace *trace, unsigned tile, unsigned name, node_id undriven)
{
    uint32_t before = trace->routes != NULL ? trace->routes->n : 0;
    node_id from = follow(trace, chip_net(trace->chip, tile % CHIP_WIDTH, tile / CHIP_WIDTH, name), tile, undriven);
    if (trace->routes != NULL && from == undriven)
        trace->routes->n = before;
    return from;
}

/* ---- logic tiles */

enum { CARRY_IN_SWITCH = 64 * 1 + 49 };

/* Bit n of the table of a logic cell, and its other settings, among the 20 bits that it has in two rows of its tile (IceStorm,
 * "Logic Tile"). */
static const uint8_t table_bits[16] = {4, 14, 15, 5, 6, 16, 17, 7, 3, 13, 12, 2, 1, 11, 10, 0};
enum { CELL_CARRY_ENABLE = 8, CELL_FLOP = 9, CELL_SET = 18, CELL_ASYNCHRONOUS = 19 };

static bool logic_bit(const struct trace *trace, unsigned tile, unsigned cell, unsigned bit)
{
    return trace_bit(trace, tile, 64 * (2 * cell + bit / 10) + 36 + bit % 10);
}

uint16_t trace_logic_table(const struct trace *trace, unsigned tile, unsigned cell)
{
    uint16_t table = 0;
    for (unsigned i = 0; i < 16; i++)
        table = (uint16_t)(table | logic_bit(trace, tile, cell, table_bits[i]) << i);
    return table;
}

bool table_depends(uint16_t table, unsigned input)
{
    static const uint16_t where_one[4] = {0xaaaa, 0xcccc, 0xf0f0, 0xff00};
    return (table & where_one[input]) >> (1u << input) != (table & (uint16_t)~where_one[input]);
}

static void finish_lut(struct trace *trace, node_id id, unsigned tile, unsigned cell)
{
    struct node gate = {.kind = NODE_GATE, .name = (uint8_t)(NAME_LUT_LOUT + cell), .tile = (uint16_t)tile};
    gate.table = trace_logic_table(trace, tile, cell);
    for (unsigned i = 0; i < 4; i++)
        if (table_depends(gate.table, i))
            gate.in[i] = trace_wire(trace, tile, NAME_LUT_IN + 4 * cell + i, 0);
    trace->netlist->nodes[id] = gate;
}

static void finish_flop(struct trace *trace, node_id id, struct flop flop)
{
    struct netlist *netlist = trace->netlist;
    if (netlist->n_flops == FLOPS_MAX) {
        trace->wrong = "it has more flip-flops than the simulator takes";
        return;
    }
    flop.node = id;
    netlist->nodes[id].kind = NODE_FLOP;
    netlist->nodes[id].index = (uint16_t)netlist->n_flops;
    netlist->flops[netlist->n_flops++] = flop;
}

node_id trace_flop(struct trace *trace, unsigned tile, struct flop flop)
{
    node_id id = add_node(trace, (struct node){.kind = NODE_PENDING, .name = MADE_GATE, .tile = (uint16_t)tile});
    finish_flop(trace, id, flop);
    return id;
}

static void finish_out(struct trace *trace, node_id id, unsigned tile, unsigned cell)
{
    node_id lut = trace_cell(trace, tile, NAME_LUT_LOUT + cell);
    if (!logic_bit(trace, tile, cell, CELL_FLOP)) {
        trace->netlist->nodes[id].kind = NODE_SAME;
        trace->netlist->nodes[id].in[0] = lut;
        return;
    }
    struct flop flop = {
        .d = lut,
        .clock = trace_wire(trace, tile, NAME_CLK, 0),
        .enable = trace_wire(trace, tile, NAME_CEN, 1),
        .reset = trace_wire(trace, tile, NAME_SR, 0),
        .negative = trace_bit(trace, tile, BIT_LOGIC_NEGCLK),
        .set = logic_bit(trace, tile, cell, CELL_SET),
        .asynchronous = logic_bit(trace, tile, cell, CELL_ASYNCHRONOUS),
    };
    finish_flop(trace, id, flop);
}

/* A carry that is not enabled is 0. */
static void finish_carry(struct trace *trace, node_id id, unsigned tile, unsigned cell)
{
    struct node gate = {.kind = NODE_GATE, .name = (uint8_t)(NAME_LUT_COUT + cell), .tile = (uint16_t)tile};
    if (logic_bit(trace, tile, cell, CELL_CARRY_ENABLE)) {
        gate.table = TABLE_CARRY;
        gate.in[0] = trace_wire(trace, tile, NAME_LUT_IN + 4 * cell + 1, 0);
        gate.in[1] = trace_wire(trace, tile, NAME_LUT_IN + 4 * cell + 2, 0);
        gate.in[2] = trace_cell(trace, tile, cell == 0 ? NAME_CARRY_IN_MUX : NAME_LUT_COUT + cell - 1);
    }
    trace->netlist->nodes[id] = gate;
}

/* The carry into a tile: that of the tile below if its switch is on, else what CarryInSet says. */
static void finish_carry_in(struct trace *trace, node_id id, unsigned tile)
{
    struct node *node = &trace->netlist->nodes[id];
    node->kind = NODE_SAME;
    if (trace_bit(trace, tile, CARRY_IN_SWITCH))
        node->in[0] = trace_wire(trace, tile, NAME_CARRY_IN, 0);
    else
        node->in[0] = trace_bit(trace, tile, BIT_LOGIC_CARRYINSET);
}

/* ---- all cells */

/* A cell at a fixed place that is not simulated. */
static node_id unmodelled_cell(struct trace *trace, unsigned tile, unsigned name)
{
    static const char *const kinds[CELL_KINDS] = {
        [CELL_HFOSC] = "the high-frequency oscillator",
        [CELL_LFOSC] = "the low-frequency oscillator",
        [CELL_PLL] = "the PLL",
        [CELL_SPRAM] = "the SPRAM",
        [CELL_MAC16] = "the DSP block",
        [CELL_I2C] = "the I2C block",
        [CELL_SPI] = "the SPI block",
        [CELL_LEDDA_IP] = "the LED driver's PWM",
        [CELL_RGBA_DRV] = "the LED driver",
        [CELL_IO_I3C] = "the I3C pin",
        [CELL_WARMBOOT] = "the warm boot",
    };
    int port = 0;
    const struct chip_cell *cell = trace_cell_with_port(tile, name, &port);
    return trace_unmodelled(trace, cell == NULL ? "a cell that is not known" : kinds[cell->kind], tile);
}

const struct chip_cell *trace_cell_with_port(unsigned tile, unsigned name, int *port)
{
    for (unsigned i = 0; i < chip_n_cells; i++) {
        const struct chip_cell *cell = &chip_cells[i];
        for (*port = 0; *port < cell->n_ports; ++*port) {
            const struct chip_port *known = &chip_ports[cell->first_port + *port];
            if (known->what == name && chip_tile_at(known->x, known->y) == tile)
                return cell;
        }
    }
    return NULL;
}

static void make_same(struct trace *trace, node_id id, node_id as)
{
    trace->netlist->nodes[id].kind = NODE_SAME;
    trace->netlist->nodes[id].in[0] = as;
}

static void finish_fixed(struct trace *trace, node_id id, unsigned tile, unsigned name)
{
    int port = 0;
    const struct chip_cell *cell = trace_cell_with_port(tile, name, &port);
    if (cell != NULL && (cell->kind == CELL_HFOSC || cell->kind == CELL_LFOSC))
        make_same(trace, id, trace_oscillator(trace, cell));
    else if (cell != NULL && cell->kind == CELL_SPRAM)
        make_same(trace, id, trace_spram(trace, cell, (unsigned)(port - SPRAM_DATAOUT_0)));
    else if (cell != NULL && cell->kind == CELL_MAC16)
        make_same(trace, id, trace_mac(trace, cell, (unsigned)port));
    else
        make_same(trace, id, unmodelled_cell(trace, tile, name));
}

void trace_finish(struct trace *trace, node_id id)
{
    if (trace->netlist->nodes[id].kind != NODE_PENDING)
        return;
    unsigned tile = trace->netlist->nodes[id].tile, name = trace->netlist->nodes[id].name;
    if (within(name, NAME_LUT_OUT, 8))
        finish_out(trace, id, tile, name - NAME_LUT_OUT);
    else if (within(name, NAME_LUT_LOUT, 8))
        finish_lut(trace, id, tile, name - NAME_LUT_LOUT);
    else if (within(name, NAME_LUT_COUT, 8))
        finish_carry(trace, id, tile, name - NAME_LUT_COUT);
    else if (name == NAME_CARRY_IN_MUX)
        finish_carry_in(trace, id, tile);
    else if (within(name, NAME_D_IN, 4))
        make_same(trace, id, trace_pin_input(trace, tile, (name - NAME_D_IN) / 2, (name - NAME_D_IN) % 2));
    else if (within(name, MADE_PAD, 2))
        make_same(trace, id, trace_pad(trace, tile, name - MADE_PAD));
    else if (within(name, NAME_GLB, 8))
        make_same(trace, id, trace_global(trace, name - NAME_GLB));
    else if (within(name, NAME_RDATA, 16))
        make_same(trace, id, trace_ram(trace, tile, name - NAME_RDATA));
    else if (name == MADE_LOCK)
        make_same(trace, id, 1); /* the PLL locks at once */
    else
        finish_fixed(trace, id, tile, name);
}

static bool find_pin(unsigned pin, struct chip_pin *place)
{
    for (unsigned i = 0; i < chip_n_pins; i++) {
        *place = chip_pins[i];
        if (place->pin == pin)
            return true;
    }
    return false;
}

/* Nodes keep their place and name, so they say which entries were made. */
static void forget_cells(struct trace_room *room, uint32_t n_nodes)
{
    for (node_id id = 2; id < n_nodes; id++)
        if (room->nodes[id].name < MADE_NAMES)
            room->cells[key(room->nodes[id].tile, room->nodes[id].name)] = 0;
}

const char *netlist_trace(struct netlist *netlist, const struct chip *chip, struct config *config, struct trace_room *room,
                          struct routes *routes, const uint8_t *pins, uint32_t n_pins, uint32_t clock_hz)
{
    *netlist = (struct netlist){.nodes = room->nodes, .flops = room->flops, .words = room->words};
    struct trace trace = {
        .netlist = netlist, .chip = chip, .config = config, .clock_hz = clock_hz, .room = room, .routes = routes};
    netlist->n_nodes = 2; /* the constants */
    netlist->nodes[0] = (struct node){.kind = NODE_CONSTANT};
    netlist->nodes[1] = (struct node){.kind = NODE_CONSTANT, .table = 0xffff};
    for (uint32_t i = 0; i < n_pins && trace.wrong == NULL; i++) {
        struct chip_pin place;
        if (!find_pin(pins[i], &place))
            trace.wrong = "there is no such pin";
        else
            netlist->pins[netlist->n_pins++] = trace_cell(&trace, chip_tile_at(place.x, place.y), MADE_PAD + place.z);
    }
    for (node_id id = 2; id < netlist->n_nodes && trace.wrong == NULL; id++)
        trace_finish(&trace, id);
    forget_cells(room, netlist->n_nodes);
    return trace.wrong;
}

void netlist_free(struct netlist *netlist)
{
    for (uint32_t i = 0; i < netlist->n_memories; i++)
        free(netlist->memories[i].initial);
    free(netlist->nodes);
    free(netlist->flops);
    free(netlist->words);
    memset(netlist, 0, sizeof *netlist);
}
