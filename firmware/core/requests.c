/* All requests but EVALUATE: each is answered at once, and core_receive has seen that there is room for it. */
#include "requests.h"

#include <string.h>

#include "evaluate.h"
#include "le.h"
#include "outbox.h"
#include "selftest.h"

static size_t put_text(uint8_t *out, const char *text)
{
    size_t n = strlen(text);
    if (n > TEXT_MAX)
        n = TEXT_MAX;
    out[0] = (uint8_t)n;
    memcpy(out + 1, text, n);
    return n + 1;
}

/* The greatest version that both speak. A host of version 1 does not say its own. */
static uint8_t version_for(const struct frame_header *header, const uint8_t *payload)
{
    uint8_t theirs = header->length > 0 && payload[0] > 0 ? payload[0] : 1;
    return theirs < PROTOCOL_VERSION ? theirs : PROTOCOL_VERSION;
}

static void hello(struct core *core, uint32_t id, uint8_t version)
{
    uint8_t *payload = core_reserve(core, 28 + 2 * (1 + TEXT_MAX));
    payload[0] = version;
    payload[1] = core->n_slots;
    le_put16(payload + 2, 0);
    le_put32(payload + 4, EVALUATE_MAX);
    le_put32(payload + 8, BITSTREAM_CAPACITY);
    memcpy(payload + 12, port_serial(core->port), SERIAL_SIZE);
    size_t n = 12 + SERIAL_SIZE;
    n += put_text(payload + n, core->app->name);
    n += put_text(payload + n, core->version);
    core_commit(core, MSG_HELLO | MSG_REPLY, id, n);
    core->greeted = true;
}

static void status(struct core *core, uint32_t id)
{
    uint8_t payload[32];
    le_put64(payload, port_now_us(core->port));
    le_put16(payload + 8, (uint16_t)port_temperature(core->port));
    payload[10] = evaluate_free_slots(core);
    payload[11] = (uint8_t)core->phase;
    le_put32(payload + 12, core->frames);
    le_put32(payload + 16, core->refused);
    le_put32(payload + 20, core->reader.skipped);
    le_put32(payload + 24, core->evaluations);
    le_put32(payload + 28, core->watchdogs);
    core_send(core, MSG_STATUS | MSG_REPLY, id, payload, sizeof payload);
}

static void cancel(struct core *core, const struct frame_header *header, const uint8_t *payload)
{
    if (header->length != 0 && header->length != 4) {
        outbox_fail(core, header->id, FAILED_BAD_LENGTH, "CANCEL takes nothing, or one id");
        return;
    }
    bool all = header->length == 0;
    uint8_t reply[4];
    le_put32(reply, evaluate_cancel(core, all, all ? 0 : le_get32(payload), true));
    core_send(core, MSG_CANCEL | MSG_REPLY, header->id, reply, sizeof reply);
}

static void reboot(struct core *core, const struct frame_header *header, const uint8_t *payload)
{
    if (header->length < 1 || payload[0] > 1) {
        outbox_fail(core, header->id, FAILED_BAD_PARAMETERS, "REBOOT takes 0 (application) or 1 (boot loader)");
        return;
    }
    core_send(core, MSG_REBOOT | MSG_REPLY, header->id, NULL, 0);
    core->reboot = payload[0] == 1 ? REBOOT_LOADER : REBOOT_APPLICATION;
}

static void test(struct core *core, const struct frame_header *header, const uint8_t *payload)
{
    uint32_t failed = selftest(core);
    uint8_t *reply = core_reserve(core, 4 + header->length);
    le_put32(reply, failed);
    memcpy(reply + 4, payload, header->length);
    core_commit(core, MSG_TEST | MSG_REPLY, header->id, 4 + header->length);
}

static void application(struct core *core, const struct frame_header *header, const uint8_t *payload)
{
    bool in_range = header->type >= MSG_APPLICATION_FIRST && header->type <= MSG_APPLICATION_LAST;
    if (!in_range || core->app->message == NULL || !core->app->message(core, header->type, header->id, payload, header->length))
        outbox_fail(core, header->id, FAILED_NOT_SUPPORTED, "this application does not know this request");
}

void request_answer(struct core *core, const struct frame_header *header, const uint8_t *payload)
{
    switch (header->type) {
    case MSG_HELLO:
        hello(core, header->id, version_for(header, payload));
        break;
    case MSG_STATUS:
        status(core, header->id);
        break;
    case MSG_CANCEL:
        cancel(core, header, payload);
        break;
    case MSG_REBOOT:
        reboot(core, header, payload);
        break;
    case MSG_TEST:
        test(core, header, payload);
        break;
    default:
        application(core, header, payload);
    }
}
