/* A virtual board: its place on the USB bus, its boot ROM, its FPGA, and the core that runs on it. */
#ifndef BOARD_H
#define BOARD_H

#include "core.h"
#include "fpga_model.h"
#include "image.h"
#include "rom.h"
#include "simulation.h"
#include "uart.h"

enum {
    BOARD_RX_SIZE = 8192,
    BOARD_PATH_MAX = 512,
    BUFFERS_MAX = 8,
};

/* What real hardware takes, microseconds (docs/protocol.md). */
enum {
    CLEAR_US = 1300,
    CRAM_MHZ = 25,
    ENUMERATE_US = 1000000,
    ROM_REBOOT_US = 500000,
    LEAVE_US = 100000, /* so that the host reads REBOOTING before the port is gone */
    USB_BYTES_PER_US = 1,
};

enum board_place {
    BOARD_UNPLUGGED,
    BOARD_STARTING,    /* until at_us, then the application or, with to_loader, the boot loader */
    BOARD_APPLICATION, /* a tty */
    BOARD_LEAVING,     /* still a tty, until at_us or until the host closes it */
    BOARD_LOADER,      /* a drive */
    BOARD_FLASHED,     /* still a drive, until at_us */
    BOARD_HUNG,        /* the application does not start: nothing on the bus */
};

struct faults {
    bool silent, fails_to_boot, cdone, stuck;
    uint32_t garbled; /* every n-th write to the host has a wrong bit; 0: none */
    double slow;      /* times as slow as real hardware, or 0 */
    int64_t unplug_after; /* bytes still to receive, or -1 */
};

struct fpga {
    const uint8_t *bitstream;
    size_t length;
    bool takes_it;
    uint32_t clock_mhz; /* at pin 35; 0: none */
    double hz; /* of the landscape */
    bool counting;
    uint8_t counted[COUNTED_MAX]; /* pins */
    uint8_t n_counted;
    uint32_t window_us;
    uint32_t windows;
    double began_days; /* when the window began, since the boards started */
    uint64_t load_end_us, count_end_us;
    /* Sampling: it ends at count_end_us as well. */
    bool sampling;
    uint16_t *samples;
    uint16_t n_samples;
    uint32_t rate_hz;
    /* What is being simulated; how far the circuit has come since it was loaded, in its own seconds. */
    struct ticket *ticket;
    double reached, reaching;
    uint64_t waiting_since; /* the board's clock stands still while it waits for a simulation; 0: it does not */
    uint16_t origin;
    char failure[TEXT_MAX + 1];
    struct uart uart;
};

/* What all boards share. */
struct bench {
    double scale; /* of real hardware's times: 1 real, 0 instant */
    uint8_t buffers;
    const char *directory; /* for the drives */
    const struct model *model;
    struct simulation *simulation; /* NULL if the model does not simulate */
    int epoll;
    uint64_t started_us; /* on clock_us() */
};

struct port {
    const struct bench *bench;
    uint32_t index, generation;
    char serial[SERIAL_SIZE + 1];
    char usb_path[24];
    enum board_place place;
    bool to_loader;
    uint64_t at_us;
    uint64_t wake_us;
    bool woken;

    int fd; /* master of the pty, or the drive's FIFO */
    char path[BOARD_PATH_MAX];
    bool readable;
    uint64_t next_read_us;
    size_t rx_start, rx_end;
    uint8_t rx[BOARD_RX_SIZE];

    uint8_t flash[IMAGE_SIZE];
    struct image image;
    struct rom rom;
    uint64_t booted_us;
    struct fpga fpga;
    struct faults faults;
    uint32_t writes;
    struct core core;
    struct slot *slots;
};

typedef struct port board;

uint64_t clock_us(void);

/* board.c: life on the bus. `now` is clock_us(). */
bool board_init(board *b, const struct bench *bench, uint32_t index, const char *seed, bool blank);
void board_plug(board *b, uint64_t now);
void board_unplug(board *b);
void board_restart(board *b, bool to_loader, uint64_t now);
void board_hang_up(board *b, uint64_t now);
void board_service(board *b, uint64_t now);

/* How long what takes real hardware `us` takes this board. */
uint64_t board_duration(const board *b, uint64_t us);

/* The application of that name, or NULL. */
const struct app *board_app(const char *name);

/* board_io.c: bytes to and from the host. */
bool board_transfer(board *b, uint64_t now);

/* usb.c: what the host sees; each gives an event. */
bool usb_add_tty(board *b);
bool usb_add_drive(board *b);
void usb_remove(board *b);
bool usb_touched(const board *b);

/* events.c: lines for the worker. */
void event_added(const board *b, const char *what);
void event_removed(const board *b, const char *what);
/* It can be plugged in, and was not at the start. */
void event_spare(const board *b);
void event_ready(uint32_t boards);
void event_done(void);
void event_refused(const char *why);

#endif
