#include "board.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "hash.h"
#include "version.h"

uint64_t clock_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

uint64_t board_duration(const board *b, uint64_t us)
{
    double scale = b->bench->scale;
    if (b->faults.slow > 0)
        scale = b->faults.slow * (scale > 0 ? scale : 1);
    return (uint64_t)((double)us * scale);
}

bool board_init(board *b, const struct bench *bench, uint32_t index, const char *seed, bool blank)
{
    memset(b, 0, sizeof *b);
    b->bench = bench;
    b->index = index;
    b->fd = -1;
    b->faults.unplug_after = -1;
    uint64_t serial = hash_mix(hash_text(0, seed) + index);
    snprintf(b->serial, sizeof b->serial, "%016llX", (unsigned long long)serial);
    snprintf(b->usb_path, sizeof b->usb_path, "virtual-%u", index + 1);
    if (!blank)
        image_build(b->flash, app_default.name, FIRMWARE_VERSION);
    b->slots = calloc(bench->buffers, sizeof *b->slots);
    return b->slots != NULL;
}

void board_restart(board *b, bool to_loader, uint64_t now)
{
    usb_remove(b);
    b->place = BOARD_STARTING;
    b->to_loader = to_loader;
    b->at_us = now + board_duration(b, ENUMERATE_US);
}

void board_plug(board *b, uint64_t now)
{
    // An unplugging that is still to come is called off: who plugs a board in wants it there.
    b->faults.unplug_after = -1;
    if (b->place == BOARD_UNPLUGGED || b->place == BOARD_HUNG)
        board_restart(b, false, now);
}

void board_unplug(board *b)
{
    usb_remove(b);
    b->place = BOARD_UNPLUGGED;
    b->faults.unplug_after = -1;
}

const struct app *board_app(const char *name)
{
    static const struct app *const apps[] = {&app_default, &app_pulse_count, &app_multi_pulse_count, &app_variance,
                                             &app_console};
    for (size_t i = 0; i < sizeof apps / sizeof *apps; i++)
        if (strcmp(apps[i]->name, name) == 0)
            return apps[i];
    return NULL;
}

/* What the boot ROM does after a reset: start the image in flash if there is one, else offer the drive. */
static void boot(board *b, uint64_t now)
{
    b->image = image_parse(b->flash);
    const struct app *app = b->image.valid && !b->to_loader ? board_app(b->image.app) : NULL;
    b->place = BOARD_HUNG;
    if (app == NULL) {
        rom_start(&b->rom);
        if (usb_add_drive(b))
            b->place = BOARD_LOADER;
    } else if (!b->faults.fails_to_boot) {
        port_stop(b); /* what was being simulated */
        b->booted_us = now;
        b->fpga = (struct fpga){.clock_mhz = CLOCK_DEFAULT_MHZ};
        core_init(&b->core, b, app, b->image.version, b->slots, b->bench->buffers);
        if (usb_add_tty(b))
            b->place = BOARD_APPLICATION;
    }
}

void board_hang_up(board *b, uint64_t now)
{
    if (b->place == BOARD_LEAVING)
        b->at_us = now;
    if (b->place != BOARD_APPLICATION)
        return;
    if (usb_touched(b)) {
        board_restart(b, true, now);
        return;
    }
    b->readable = false;
    b->rx_start = b->rx_end = 0;
    core_disconnected(&b->core);
}

static bool timer_ended(board *b, uint64_t now)
{
    bool timed = b->place == BOARD_STARTING || b->place == BOARD_LEAVING || b->place == BOARD_FLASHED;
    if (!timed || now < b->at_us)
        return false;
    if (b->place == BOARD_STARTING)
        boot(b, now);
    else
        board_restart(b, b->place == BOARD_LEAVING && b->to_loader, now);
    return true;
}

/* A time that has passed was served already; what then waits, waits for the host, whose doings are events. */
static uint64_t sooner(uint64_t a, uint64_t b, uint64_t now)
{
    return b > now && b < a ? b : a;
}

static uint64_t application_wake(const board *b, uint64_t now)
{
    uint64_t wake = CORE_NEVER;
    uint64_t deadline = core_deadline(&b->core);
    if (deadline != CORE_NEVER)
        wake = sooner(wake, deadline + b->booted_us, now);
    if (b->core.phase == CORE_LOADING)
        wake = sooner(wake, b->fpga.load_end_us, now);
    if ((b->fpga.counting || b->fpga.sampling) && !b->faults.stuck)
        wake = sooner(wake, b->fpga.count_end_us, now);
    return b->readable ? sooner(wake, b->next_read_us, now) : wake;
}

static uint64_t next_wake(const board *b, uint64_t now)
{
    switch (b->place) {
    case BOARD_STARTING:
    case BOARD_LEAVING:
    case BOARD_FLASHED:
        return b->at_us;
    case BOARD_APPLICATION:
        return application_wake(b, now);
    case BOARD_LOADER:
        return b->readable ? b->next_read_us : CORE_NEVER;
    default:
        return CORE_NEVER;
    }
}

void board_service(board *b, uint64_t now)
{
    enum { ROUNDS = 16 }; /* then the other boards have their turn */
    bool did = true;
    for (int round = 0; did && round < ROUNDS; round++)
        did = timer_ended(b, now) || board_transfer(b, now);
    b->woken = did;
    b->wake_us = next_wake(b, now);
}
