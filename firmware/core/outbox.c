/* What waits for USB: frames put together in place, one behind another, and lines of the log until a host has said HELLO. */
#include "outbox.h"

#include <string.h>

#include "le.h"

size_t outbox_room(const struct core *core)
{
    return sizeof core->tx - (core->tx_end - core->tx_start);
}

uint8_t *core_reserve(struct core *core, size_t n)
{
    if (n > sizeof core->tx || outbox_room(core) < n + FRAME_OVERHEAD)
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

bool outbox_tell(struct core *core)
{
    if (!core->greeted || core->n_log == 0 || core->reboot != REBOOT_NONE || outbox_room(core) < REPLY_MAX)
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

void outbox_fail(struct core *core, uint32_t id, enum failure failure, const char *text)
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

bool outbox_send(struct core *core)
{
    if (core->tx_start == core->tx_end)
        return false;
    size_t sent = port_tx(core->port, core->tx + core->tx_start, core->tx_end - core->tx_start);
    core->tx_start += sent;
    if (core->tx_start == core->tx_end)
        core->tx_start = core->tx_end = 0;
    return sent > 0;
}
