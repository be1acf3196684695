/* Bytes between a board and its host. */
#include <errno.h>
#include <unistd.h>

#include "board.h"

/* How many bytes may be read now: none before USB has carried the last ones, and not past the point of an unplugging. */
static size_t allowance(const board *b, uint64_t now)
{
    if (!b->readable || now < b->next_read_us)
        return 0;
    if (b->faults.unplug_after >= 0 && b->faults.unplug_after < BOARD_RX_SIZE)
        return (size_t)b->faults.unplug_after;
    return BOARD_RX_SIZE;
}

static void pace(board *b, size_t n, uint64_t now)
{
    uint64_t took = board_duration(b, n / USB_BYTES_PER_US);
    /* Going on from the last read, not from now, makes up for timers that come late. */
    b->next_read_us = took == 0 ? 0 : (now - b->next_read_us < 20000 ? b->next_read_us : now) + took;
}

/* Returns the number of bytes read, 0 when there are none, or -1 when the host has closed its end. */
static ssize_t read_host(board *b, uint64_t now)
{
    size_t most = allowance(b, now);
    if (most == 0)
        return 0;
    ssize_t n = read(b->fd, b->rx, most);
    if (n > 0) {
        pace(b, (size_t)n, now);
        if (b->faults.unplug_after >= 0)
            b->faults.unplug_after -= n;
        b->rx_start = 0;
        b->rx_end = (size_t)n;
        return n;
    }
    b->readable = n < 0 && errno == EINTR;
    return n == 0 || errno == EIO ? -1 : 0;
}

static bool serve_application(board *b, uint64_t now)
{
    bool did = false;
    if (b->rx_start == b->rx_end) {
        ssize_t n = read_host(b, now);
        if (n < 0)
            board_hang_up(b, now);
        did = n > 0;
    }
    if (b->place == BOARD_APPLICATION && b->rx_start < b->rx_end) {
        size_t used = core_receive(&b->core, b->rx + b->rx_start, b->rx_end - b->rx_start);
        b->rx_start += used;
        did |= used > 0;
    }
    while (b->place == BOARD_APPLICATION && core_poll(&b->core))
        did = true;
    return did;
}

static bool serve_drive(board *b, uint64_t now)
{
    ssize_t n = read_host(b, now);
    if (n < 0)
        b->rom.n_block = 0; /* a drive has whole blocks: what was cut off is gone */
    if (n <= 0)
        return false;
    if (b->place == BOARD_LOADER && rom_write(&b->rom, b->flash, b->rx, (size_t)n)) {
        b->place = BOARD_FLASHED;
        b->at_us = now + board_duration(b, ROM_REBOOT_US);
    }
    return true;
}

bool board_transfer(board *b, uint64_t now)
{
    bool did = false;
    if (b->place == BOARD_APPLICATION)
        did = serve_application(b, now);
    else if (b->place == BOARD_LOADER || b->place == BOARD_FLASHED)
        did = serve_drive(b, now);
    if (b->faults.unplug_after == 0)
        board_unplug(b);
    return did;
}
