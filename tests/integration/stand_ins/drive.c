/* A boot drive for dd, loaded before the C library (LD_PRELOAD): a file whose writes fail as a board's drive does.
 *
 * DRIVE      the file
 * SHORT      at most so many bytes are taken by one write
 * ENDS_AT    after so many bytes in all ...
 * ERROR      ... writes fail with this error; 0: they never return
 * LEAVES     1: the drive is gone from then on, as a board's that restarts
 * LATE       the error of fsync, after everything was taken
 *
 * As at a block device, a write that is not synchronous ends in the kernel's memory, and fails at fsync alone.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static long number(const char *name, long without)
{
    const char *text = getenv(name);
    return text == NULL || *text == '\0' ? without : atol(text);
}

static int is_drive(int fd)
{
    char link[32] = "/proc/self/fd/0", path[PATH_MAX];
    const char *drive = getenv("DRIVE");
    ssize_t length;
    link[14] = (char)('0' + fd % 10);
    length = fd > 9 || drive == NULL ? -1 : readlink(link, path, sizeof path - 1);
    if (length < 0)
        return 0;
    path[length] = '\0';
    return strcmp(path, drive) == 0;
}

static long taken;

static int fail(void)
{
    while (number("ERROR", EIO) == 0)
        pause();
    if (number("LEAVES", 0))
        unlink(getenv("DRIVE"));
    errno = (int)number("ERROR", EIO);
    return -1;
}

ssize_t write(int fd, const void *data, size_t size)
{
    ssize_t (*next)(int, const void *, size_t) = (ssize_t (*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
    size_t most = (size_t)number("SHORT", LONG_MAX);
    long room = number("ENDS_AT", LONG_MAX) - taken;
    ssize_t done;
    if (!is_drive(fd))
        return next(fd, data, size);
    if ((fcntl(fd, F_GETFL) & O_DSYNC) == 0)
        room = LONG_MAX;
    if (room <= 0)
        return fail();
    if (size > most)
        size = most;
    done = next(fd, data, size > (size_t)room ? (size_t)room : size);
    taken += done;
    return done;
}

int fsync(int fd)
{
    int (*next)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    long late = number("LATE", 0);
    if (is_drive(fd) && taken > number("ENDS_AT", LONG_MAX))
        return fail();
    if (!is_drive(fd) || late == 0)
        return next(fd);
    unlink(getenv("DRIVE"));
    errno = (int)late;
    return -1;
}
