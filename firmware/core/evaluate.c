/* Evaluations: the slots they wait in, and the one that is loaded and measured. */
#include "evaluate.h"

#include <string.h>

#include "le.h"
#include "outbox.h"

void slot_empty(struct slot *slot)
{
    slot->state = SLOT_FREE;
    slot->held = 0;
}

uint8_t evaluate_free_slots(const struct core *core)
{
    uint8_t n = 0;
    for (uint8_t i = 0; i < core->n_slots; i++)
        n = (uint8_t)(n + (core->slots[i].state == SLOT_FREE));
    return n;
}

/* Whether a bitstream came before another one. The difference is signed, so that order may wrap. */
static bool came_before(const struct slot *slot, const struct slot *other)
{
    return (int32_t)(slot->order - other->order) < 0;
}

/* Whether less is lost when this slot is filled. */
static bool is_better(const struct slot *slot, const struct slot *other)
{
    if (slot->held == 0 || other->held == 0)
        return slot->held == 0 && other->held != 0;
    return came_before(slot, other);
}

struct slot *evaluate_claim(struct core *core, uint32_t id)
{
    struct slot *best = NULL;
    for (uint8_t i = 0; i < core->n_slots; i++) {
        struct slot *slot = &core->slots[i];
        if (slot->state == SLOT_FREE && (best == NULL || is_better(slot, best)))
            best = slot;
    }
    if (best != NULL) {
        best->state = SLOT_FILLING;
        best->id = id;
    }
    return best;
}

struct slot *evaluate_held(struct core *core, uint32_t id)
{
    for (uint8_t i = 0; i < core->n_slots; i++)
        if (id != 0 && core->slots[i].held == id)
            return &core->slots[i];
    return NULL;
}

bool evaluate_in_progress(const struct core *core, uint32_t id)
{
    for (uint8_t i = 0; i < core->n_slots; i++)
        if (core->slots[i].state != SLOT_FREE && core->slots[i].id == id)
            return true;
    return false;
}

static struct slot *oldest_ready(struct core *core)
{
    struct slot *oldest = NULL;
    for (uint8_t i = 0; i < core->n_slots; i++) {
        struct slot *slot = &core->slots[i];
        if (slot->state == SLOT_READY && (oldest == NULL || came_before(slot, oldest)))
            oldest = slot;
    }
    return oldest;
}

/* The evaluation is over; only after a RESULT its bitstream is kept. */
static void release(struct core *core, bool keep)
{
    if (keep)
        core->active->state = SLOT_FREE;
    else
        slot_empty(core->active);
    core->active = NULL;
    core->phase = CORE_IDLE;
}

/* Many bad bitstreams in a row are reported once. */
static void give_up(struct core *core, enum failure failure, const char *text)
{
    if (!core->ailing)
        core_log(core, LEVEL_WARNING, text);
    core->ailing = true;
    port_stop(core->port);
    outbox_fail(core, core->active->id, failure, text);
    release(core, false);
}

static uint32_t clock_of(const struct core *core, const struct slot *slot)
{
    if (core->app->clock_mhz == NULL)
        return CLOCK_DEFAULT_MHZ;
    return core->app->clock_mhz(slot->parameters, slot->n_parameters);
}

static bool begin(struct core *core)
{
    struct slot *slot = core->reboot == REBOOT_NONE ? oldest_ready(core) : NULL;
    if (slot == NULL)
        return false;
    slot->state = SLOT_ACTIVE;
    core->active = slot;
    core->phase = CORE_LOADING;
    core->phase_start_us = port_now_us(core->port);
    core->phase_limit_us = core->phase_start_us + LOAD_LIMIT_US;
    port_clock(core->port, clock_of(core, slot));
    port_load_start(core->port, slot->bitstream, slot->length, slot->slower);
    return true;
}

static void measure(struct core *core)
{
    const struct slot *slot = core->active;
    uint64_t now = port_now_us(core->port);
    core->load_us = (uint32_t)(now - core->phase_start_us);
    core->phase = CORE_MEASURING;
    core->phase_start_us = now;
    core->phase_limit_us = now + core->app->expected_us(slot->parameters, slot->n_parameters) + MEASURE_MARGIN_US;
    core->received_at_start = core->received;
    core->run.window_us = 0;
    core->run.result_length = 0;
    core->app->start(&core->run, slot->parameters, slot->n_parameters, core->port);
}

static void answer(struct core *core)
{
    size_t n = RESULT_FIXED + core->run.result_length;
    uint8_t *payload = core_reserve(core, n); /* evaluate_poll has seen that there is room */
    le_put32(payload, ++core->evaluations);
    le_put32(payload + 4, core->load_us);
    le_put64(payload + 8, core->phase_start_us);
    le_put32(payload + 16, core->run.window_us);
    le_put32(payload + 20, core->received - core->received_at_start);
    le_put16(payload + 24, (uint16_t)port_temperature(core->port));
    le_put16(payload + 26, port_origin(core->port));
    memcpy(payload + RESULT_FIXED, core->run.result, core->run.result_length);
    core_commit(core, MSG_EVALUATE | MSG_REPLY, core->active->id, n);
    core->ailing = false;
    release(core, true);
}

/* A circuit that this board cannot measure: the board is well, so nothing is logged. */
static bool not_measured(struct core *core)
{
    const char *why = port_failure(core->port);
    if (why == NULL)
        return false;
    outbox_fail(core, core->active->id, FAILED_NOT_MEASURED, why);
    port_stop(core->port);
    release(core, false);
    return true;
}

static bool overdue(struct core *core)
{
    if (port_now_us(core->port) < core->phase_limit_us)
        return false;
    core->watchdogs++;
    give_up(core, FAILED_WATCHDOG,
            core->phase == CORE_LOADING ? "loading did not end in time" : "the measurement did not end in time");
    return true;
}

/* Room for the greatest RESULT is asked for before each step, so that an answer is never lost: the step is done later. */
bool evaluate_poll(struct core *core)
{
    if (core->phase == CORE_IDLE)
        return begin(core);
    if (outbox_room(core) < REPLY_MAX)
        return false;
    if (core->phase == CORE_MEASURING) {
        if (!core->app->poll(&core->run, core->port))
            return not_measured(core) || overdue(core);
        answer(core);
        return true;
    }
    switch (port_load_state(core->port)) {
    case LOAD_DONE:
        measure(core);
        return true;
    case LOAD_FAILED:
        give_up(core, FAILED_CDONE, "CDONE did not rise: the FPGA did not take the bitstream");
        return true;
    case LOAD_STUCK:
        give_up(core, FAILED_CDONE,
                "CDONE is high while the FPGA is cleared: CRESET does not reach it, or CDONE is not connected");
        return true;
    case LOAD_BUSY:
        break;
    }
    return overdue(core);
}

uint32_t evaluate_cancel(struct core *core, bool all, uint32_t id, bool answered)
{
    uint32_t n = 0;
    for (uint8_t i = 0; i < core->n_slots; i++) {
        struct slot *slot = &core->slots[i];
        if ((slot->state != SLOT_READY && slot->state != SLOT_ACTIVE) || (!all && slot->id != id))
            continue;
        if (slot->state == SLOT_ACTIVE) {
            port_stop(core->port);
            core->phase = CORE_IDLE;
            core->active = NULL;
        }
        slot_empty(slot);
        if (answered)
            outbox_fail(core, slot->id, FAILED_CANCELLED, "cancelled by the host");
        n++;
    }
    return n;
}
