/* What the host sees of a board: a pty in application mode, a FIFO as drive in the boot loader. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "board.h"

/* Edge-triggered: a pty that nobody has opened hangs up all the time. */
static bool watch(board *b)
{
    b->generation++;
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET};
    event.data.u64 = (uint64_t)b->generation << 32 | b->index;
    b->readable = false;
    b->next_read_us = 0;
    b->rx_start = b->rx_end = 0;
    return epoll_ctl(b->bench->epoll, EPOLL_CTL_ADD, b->fd, &event) == 0;
}

static bool failed(board *b, const char *what)
{
    fprintf(stderr, "icefarm-boards: %s: %s: %s\n", b->serial, what, strerror(errno));
    if (b->fd >= 0)
        close(b->fd);
    b->fd = -1;
    return false;
}

bool usb_add_tty(board *b)
{
    struct termios mode;
    b->fd = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (b->fd < 0 || grantpt(b->fd) < 0 || unlockpt(b->fd) < 0 || ptsname_r(b->fd, b->path, sizeof b->path) != 0)
        return failed(b, "no pseudo-terminal");
    /* Raw from the start, so that nothing is echoed to a host before it has set its own mode. */
    if (tcgetattr(b->fd, &mode) < 0)
        return failed(b, "no terminal attributes");
    cfmakeraw(&mode);
    cfsetspeed(&mode, B115200);
    if (tcsetattr(b->fd, TCSANOW, &mode) < 0 || !watch(b))
        return failed(b, "the pseudo-terminal can't be set up");
    event_added(b, "tty");
    return true;
}

bool usb_add_drive(board *b)
{
    snprintf(b->path, sizeof b->path, "%s/%s.drive", b->bench->directory, b->serial);
    unlink(b->path);
    if (mkfifo(b->path, 0600) < 0)
        return failed(b, b->path);
    b->fd = open(b->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (b->fd < 0 || !watch(b))
        return failed(b, b->path);
    event_added(b, "drive");
    return true;
}

void usb_remove(board *b)
{
    bool drive = b->place == BOARD_LOADER || b->place == BOARD_FLASHED;
    if (b->fd < 0)
        return;
    if (drive)
        unlink(b->path);
    close(b->fd);
    b->fd = -1;
    b->generation++;
    event_removed(b, drive ? "drive" : "tty");
}

/* Linux shows the slave's attributes on the master, also after the slave was closed. */
bool usb_touched(const board *b)
{
    struct termios mode;
    return tcgetattr(b->fd, &mode) == 0 && cfgetospeed(&mode) == B1200;
}
