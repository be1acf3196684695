#include "core.h"

#include <string.h>

#include "evaluate.h"
#include "intake.h"
#include "outbox.h"

/* Room for all that one frame can cause: TESTED with its echo, or CANCELLED and a FAILED for each buffer. */
enum { TX_RESERVE = REQUEST_MAX + 512 };

void core_init(struct core *core, struct port *port, const struct app *app, const char *version, struct slot *slots,
               uint8_t n_slots)
{
    memset(core, 0, sizeof *core);
    core->port = port;
    core->app = app;
    core->version = version;
    core->slots = slots;
    core->n_slots = n_slots;
    for (uint8_t i = 0; i < n_slots; i++)
        slot_empty(&slots[i]);
    frame_reader_init(&core->reader);
}

size_t core_receive(struct core *core, const uint8_t *bytes, size_t n)
{
    size_t used = 0;
    while (used < n && core->reboot == REBOOT_NONE && outbox_room(core) >= TX_RESERVE) {
        if (intake_waits(core))
            break;
        struct frame_piece piece;
        size_t taken = frame_read(&core->reader, bytes + used, n - used, &piece);
        used += taken;
        core->received += (uint32_t)taken;
        if (piece.event == FRAME_HEADER)
            intake_begin(core);
        else if (piece.event == FRAME_BODY)
            intake_take(core, piece.bytes, piece.n);
        else if (piece.event == FRAME_END || piece.event == FRAME_CORRUPT)
            intake_end(core, piece.event == FRAME_END);
    }
    if (used > 0)
        core->last_byte_us = port_now_us(core->port);
    return used;
}

static bool reading(const struct core *core)
{
    return !core->held && outbox_room(core) >= TX_RESERVE;
}

static bool drop_truncated(struct core *core)
{
    if (!frame_partial(&core->reader))
        return false;
    if (!reading(core)) {
        core->last_byte_us = port_now_us(core->port); /* it is us who do not read: the gap has not begun */
        return false;
    }
    if (port_now_us(core->port) < core->last_byte_us + FRAME_GAP_US)
        return false;
    if (frame_inside(&core->reader))
        intake_drop(core, NAK_TRUNCATED);
    frame_drop(&core->reader);
    return true;
}

static bool idle(struct core *core)
{
    if (core->app->idle == NULL || core->reboot != REBOOT_NONE || outbox_room(core) < REPLY_MAX)
        return false;
    return core->app->idle(core, core->port);
}

bool core_poll(struct core *core)
{
    if (core->reboot == REBOOT_DONE)
        return false;
    /* A frame that waited for a slot gets it now, though none of its bytes may be here: its gap begins. */
    bool did = core->held && !intake_waits(core);
    did |= drop_truncated(core);
    did |= evaluate_poll(core);
    did |= idle(core);
    did |= outbox_tell(core);
    did |= outbox_send(core);
    if (core->reboot != REBOOT_NONE && core->tx_start == core->tx_end) {
        bool to_loader = core->reboot == REBOOT_LOADER;
        core->reboot = REBOOT_DONE;
        port_reboot(core->port, to_loader);
    }
    return did;
}

uint64_t core_deadline(const struct core *core)
{
    uint64_t deadline = CORE_NEVER;
    if (core->reboot == REBOOT_DONE)
        return deadline;
    if (core->phase != CORE_IDLE && outbox_room(core) >= REPLY_MAX)
        deadline = core->phase_limit_us;
    if (frame_partial(&core->reader) && reading(core) && core->last_byte_us + FRAME_GAP_US < deadline)
        deadline = core->last_byte_us + FRAME_GAP_US;
    return deadline;
}

void core_disconnected(struct core *core)
{
    if (core->reboot == REBOOT_DONE)
        return;
    core->intake.slot = NULL;
    core->held = false;
    core->greeted = false;
    evaluate_cancel(core, true, 0, false);
    for (uint8_t i = 0; i < core->n_slots; i++)
        slot_empty(&core->slots[i]);
    frame_drop(&core->reader);
    core->tx_start = core->tx_end = 0;
}
