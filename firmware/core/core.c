#include "core.h"

#include <string.h>

#include "core_parts.h"
#include "le.h"

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
        slots[i].state = SLOT_FREE;
    frame_reader_init(&core->reader);
}

size_t core_tx_room(const struct core *core)
{
    return sizeof core->tx - (core->tx_end - core->tx_start);
}

uint8_t *core_reserve(struct core *core, size_t n)
{
    if (n > sizeof core->tx || core_tx_room(core) < n + FRAME_OVERHEAD)
        return NULL;
    if (sizeof core->tx - core->tx_end < n + FRAME_OVERHEAD) {
        memmove(core->tx, core->tx + core->tx_start, core->tx_end - core->tx_start);
        core->tx_end -= core->tx_start;
        core->tx_start = 0;
    }
    return core->tx + core->tx_end + FRAME_HEADER_SIZE;
}

void core_commit(struct core *core, uint8_t type, uint32_t id, size_t n)
{
    struct frame_header header = {type, 0, id, (uint32_t)n};
    uint8_t *frame = core->tx + core->tx_end;
    core->tx_end += frame_write(frame, &header, frame + FRAME_HEADER_SIZE);
}

bool core_send(struct core *core, uint8_t type, uint32_t id, const uint8_t *payload, size_t n)
{
    uint8_t *there = core_reserve(core, n);
    if (there == NULL)
        return false;
    if (n > 0)
        memcpy(there, payload, n);
    core_commit(core, type, id, n);
    return true;
}

void core_log(struct core *core, enum log_level level, const char *text)
{
    if (core->n_log < LOG_LINES)
        core->log[core->n_log++] = (struct log_line){level, text};
}

static bool tell(struct core *core)
{
    if (!core->greeted || core->n_log == 0 || core->reboot != REBOOT_NONE || core_tx_room(core) < REPLY_MAX)
        return false;
    size_t n = strlen(core->log[0].text);
    n = n > TEXT_MAX ? TEXT_MAX : n;
    uint8_t *payload = core_reserve(core, 1 + n);
    payload[0] = (uint8_t)core->log[0].level;
    memcpy(payload + 1, core->log[0].text, n);
    core_commit(core, MSG_LOG, 0, 1 + n);
    memmove(core->log, core->log + 1, --core->n_log * sizeof *core->log);
    return true;
}

void core_fail(struct core *core, uint32_t id, enum failure failure, const char *text)
{
    size_t n = strlen(text);
    n = n > TEXT_MAX ? TEXT_MAX : n;
    uint8_t *payload = core_reserve(core, 2 + n);
    if (payload == NULL)
        return;
    le_put16(payload, (uint16_t)failure);
    memcpy(payload + 2, text, n);
    core_commit(core, MSG_FAILED, id, 2 + n);
}

size_t core_receive(struct core *core, const uint8_t *bytes, size_t n)
{
    size_t used = 0;
    while (used < n && core->reboot == REBOOT_NONE && core_tx_room(core) >= TX_RESERVE) {
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

static bool send_some(struct core *core)
{
    if (core->tx_start == core->tx_end)
        return false;
    size_t sent = port_tx(core->port, core->tx + core->tx_start, core->tx_end - core->tx_start);
    core->tx_start += sent;
    if (core->tx_start == core->tx_end)
        core->tx_start = core->tx_end = 0;
    return sent > 0;
}

static bool reading(const struct core *core)
{
    return !core->held && core_tx_room(core) >= TX_RESERVE;
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
    if (core->app->idle == NULL || core->reboot != REBOOT_NONE || core_tx_room(core) < REPLY_MAX)
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
    did |= tell(core);
    did |= send_some(core);
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
    if (core->phase != CORE_IDLE && core_tx_room(core) >= REPLY_MAX)
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
        core->slots[i].state = SLOT_FREE;
    frame_drop(&core->reader);
    core->tx_start = core->tx_end = 0;
}
