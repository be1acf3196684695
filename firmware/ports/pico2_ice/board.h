/* A real board: the core, its hardware, and its place on the USB bus. */
#ifndef BOARD_H
#define BOARD_H

#include "core.h"
#include "counter.h"
#include "cram.h"
#include "fpga_clock.h"
#include "fpga_uart.h"
#include "sampler.h"

enum {
    BOARD_BUFFERS = 4, /* a fifth would leave 10 KB of the 520 for all else */
    BOARD_RX_SIZE = 4096,
    BOARD_WATCHDOG_MS = 2000, /* docs/protocol.md */
    BOARD_LEAVE_US = 100000, /* so that the host reads REBOOTING before the port is gone */
    BOARD_TOUCH_US = 500000, /* a port that is open at 1200 baud for longer was meant to be touched */
};

enum board_place { BOARD_SERVING, BOARD_LEAVING, BOARD_LEFT };

struct port {
    enum board_place place;
    bool to_loader;
    uint64_t leave_us;
    bool touched, host_open;
    uint64_t touched_us;
    bool load_failed;
    char serial[SERIAL_SIZE + 1];

    size_t rx_start, rx_end;
    uint8_t rx[BOARD_RX_SIZE];

    struct fpga_clock clock;
    struct cram cram;
    struct counter counter;
    struct sampler sampler;
    struct fpga_uart uart;
    struct core core;
    struct slot slots[BOARD_BUFFERS];
};

/* What a reader of an image finds in it: name and version, behind a word that tells where. */
#define BOARD_MARK "icefarm-firmware:"

void board_init(struct port *board, const struct app *app);
/* One round of the main loop; it never waits. */
void board_step(struct port *board);

/* usb.c calls these, from within tud_task. */
void board_line_state(struct port *board, bool dtr);
void board_line_coding(struct port *board, uint32_t baud);
void board_unplugged(struct port *board);
void board_suspended(struct port *board);
void board_resumed(struct port *board);

/* The one board; TinyUSB's callbacks have no argument to find it by. */
extern struct port the_board;

#endif
