/* What becomes of each frame's payload while it arrives: nothing acts on it before its check was right. */
#include "intake.h"

#include <string.h>

#include "crc32.h"
#include "evaluate.h"
#include "le.h"
#include "outbox.h"
#include "requests.h"

static enum nak refusal(const struct core *core, const struct frame_header *header)
{
    if (header->flags != 0)
        return NAK_BAD_FLAGS;
    if (header->length > (header->type == MSG_EVALUATE ? EVALUATE_MAX : REQUEST_MAX))
        return NAK_TOO_LONG;
    if (header->type == MSG_EVALUATE && evaluate_in_progress(core, header->id))
        return NAK_DUPLICATE;
    return NAK_NONE;
}

static void claim(struct core *core)
{
    core->intake.slot = evaluate_claim(core, core->reader.header.id);
    core->held = core->intake.slot == NULL;
}

void intake_begin(struct core *core)
{
    const struct frame_header *header = &core->reader.header;
    struct intake *intake = &core->intake;
    intake->kind = INTAKE_DISCARD;
    intake->nak = refusal(core, header);
    intake->failure = FAILED_NONE;
    intake->slot = NULL;
    intake->got = 0;
    intake->fixed = 0;
    if (intake->nak == NAK_TOO_LONG) {
        /* Such a length is not worth waiting for: refuse, and look for the next frame at once. */
        intake_drop(core, NAK_TOO_LONG);
        frame_drop(&core->reader);
    } else if (intake->nak == NAK_NONE && header->type == MSG_EVALUATE && core->app->check != NULL) {
        intake->kind = INTAKE_EVALUATE;
        claim(core);
    } else if (intake->nak == NAK_NONE && header->type != MSG_EVALUATE) {
        intake->kind = INTAKE_MESSAGE;
    }
}

bool intake_waits(struct core *core)
{
    if (core->held)
        claim(core);
    return core->held;
}

/* The two fields in front of a difference. */
static const uint8_t *difference_fields(const struct intake *intake)
{
    return intake->bytes + intake->fixed - DIFFERENCE_FIXED;
}

/* Put the base into the buffer, where the difference changes it. It may be there: the one that the buffer held until now. */
static enum failure open_difference(struct core *core)
{
    struct intake *intake = &core->intake;
    struct slot *slot = intake->slot;
    const struct slot *base = evaluate_held(core, le_get32(difference_fields(intake)));
    if (base == NULL || (base == slot ? intake->held_length : base->length) != slot->length)
        return FAILED_UNKNOWN_BASE;
    if (base != slot)
        memcpy(slot->bitstream, base->bitstream, slot->length);
    difference_begin(&intake->difference, slot->bitstream, slot->length);
    return FAILED_NONE;
}

static enum failure open_encoded(struct core *core)
{
    struct intake *intake = &core->intake;
    struct slot *slot = intake->slot;
    switch (intake->bytes[0]) {
    case ENCODING_RAW:
        return core->reader.header.length - intake->fixed == slot->length ? FAILED_NONE : FAILED_BAD_LENGTH;
    case ENCODING_LZ4:
        lz4_begin(&intake->lz4, slot->bitstream, slot->length);
        return FAILED_NONE;
    case ENCODING_DIFFERENCE:
        return open_difference(core);
    default:
        return FAILED_BAD_ENCODING;
    }
}

/* The fields in front of the bitstream are complete: check them, and set up for the bitstream. */
static void open_bitstream(struct core *core)
{
    struct intake *intake = &core->intake;
    struct slot *slot = intake->slot;
    intake->held_length = slot->length;
    slot->length = le_get32(intake->bytes + 4);
    slot->n_parameters = le_get16(intake->bytes + 2);
    slot->slower = intake->bytes[1] == 0 ? 1 : intake->bytes[1];
    memcpy(slot->parameters, intake->bytes + EVALUATE_FIXED, slot->n_parameters);
    if (slot->length == 0 || slot->length > BITSTREAM_CAPACITY)
        intake->failure = FAILED_BAD_LENGTH;
    else if (slot->slower > SLOWER_MAX)
        intake->failure = FAILED_BAD_PARAMETERS;
    else
        intake->failure = open_encoded(core);
    slot->held = 0;
}

/* Bytes in front of the bitstream, by the first fields; what has no room for them is of no use. */
static uint32_t front_of(const struct intake *intake)
{
    uint32_t fields = intake->bytes[0] == ENCODING_DIFFERENCE ? DIFFERENCE_FIXED : 0;
    return EVALUATE_FIXED + le_get16(intake->bytes + 2) + fields;
}

/* Gather the fixed part, then the parameters; returns how many bytes were taken. */
static size_t take_front(struct core *core, const uint8_t *bytes, size_t n)
{
    struct intake *intake = &core->intake;
    uint32_t wanted = intake->got < EVALUATE_FIXED ? EVALUATE_FIXED : intake->fixed;
    size_t taken = wanted - intake->got < n ? wanted - intake->got : n;
    memcpy(intake->bytes + intake->got, bytes, taken);
    intake->got += (uint32_t)taken;
    if (intake->got == EVALUATE_FIXED && intake->fixed == 0) {
        intake->fixed = front_of(intake);
        if (le_get16(intake->bytes + 2) > PARAMETERS_MAX || intake->fixed > core->reader.header.length)
            intake->failure = FAILED_BAD_LENGTH;
    }
    if (intake->got == intake->fixed && intake->failure == FAILED_NONE)
        open_bitstream(core);
    return taken;
}

static void take_evaluate(struct core *core, const uint8_t *bytes, size_t n)
{
    struct intake *intake = &core->intake;
    while (n > 0 && intake->failure == FAILED_NONE && (intake->fixed == 0 || intake->got < intake->fixed)) {
        size_t taken = take_front(core, bytes, n);
        bytes += taken;
        n -= taken;
    }
    if (n == 0 || intake->failure != FAILED_NONE)
        return;
    if (intake->bytes[0] == ENCODING_LZ4)
        lz4_feed(&intake->lz4, bytes, n);
    else if (intake->bytes[0] == ENCODING_DIFFERENCE)
        difference_feed(&intake->difference, bytes, n);
    else
        memcpy(intake->slot->bitstream + (intake->got - intake->fixed), bytes, n);
    intake->got += (uint32_t)n;
}

void intake_take(struct core *core, const uint8_t *bytes, size_t n)
{
    struct intake *intake = &core->intake;
    if (intake->kind == INTAKE_MESSAGE) {
        memcpy(intake->bytes + intake->got, bytes, n); /* fits: refusal() looked at the length */
        intake->got += (uint32_t)n;
    } else if (intake->kind == INTAKE_EVALUATE) {
        take_evaluate(core, bytes, n);
    }
}

void intake_drop(struct core *core, enum nak nak)
{
    const struct frame_header *header = &core->reader.header;
    uint8_t payload[2] = {(uint8_t)nak, header->type};
    if (core->intake.slot != NULL)
        core->intake.slot->state = SLOT_FREE;
    core->intake.slot = NULL;
    core->held = false;
    core->refused++;
    core_send(core, MSG_NAK, header->id, payload, sizeof payload);
}

/* Whether what was decoded is the bitstream that was meant; raw ones have nothing that could be wrong. */
static enum failure judge_bitstream(const struct intake *intake)
{
    const struct slot *slot = intake->slot;
    if (intake->bytes[0] == ENCODING_LZ4)
        return lz4_complete(&intake->lz4) && intake->lz4.length == slot->length ? FAILED_NONE : FAILED_BAD_LZ4;
    if (intake->bytes[0] == ENCODING_DIFFERENCE) {
        uint32_t meant = le_get32(difference_fields(intake) + 4);
        bool right = difference_complete(&intake->difference) && crc32_update(0, slot->bitstream, slot->length) == meant;
        return right ? FAILED_NONE : FAILED_BAD_DIFFERENCE;
    }
    return FAILED_NONE;
}

static enum failure judge(const struct core *core)
{
    const struct intake *intake = &core->intake;
    if (intake->failure != FAILED_NONE)
        return intake->failure;
    bool empty = intake->fixed == core->reader.header.length && intake->bytes[0] != ENCODING_DIFFERENCE;
    if (intake->fixed == 0 || intake->got < intake->fixed || empty)
        return FAILED_BAD_LENGTH;
    return judge_bitstream(intake);
}

static const char *text_of(enum failure failure)
{
    switch (failure) {
    case FAILED_BAD_PARAMETERS:
        return "the configuration clock can be divided by 1 to 16";
    case FAILED_BAD_ENCODING:
        return "the encoding is neither raw nor LZ4, and no difference";
    case FAILED_BAD_LZ4:
        return "the LZ4 block is damaged, or not as long as stated";
    case FAILED_UNKNOWN_BASE:
        return "the board does not hold the bitstream that this one differs from; send all of it";
    case FAILED_BAD_DIFFERENCE:
        return "the difference is damaged, or its base is another one than was meant; send all of the bitstream";
    default:
        return "the lengths in the request do not fit together, or the board";
    }
}

/* The whole EVALUATE is here and sound: queue it, or say why not. */
static void end_evaluate(struct core *core)
{
    struct slot *slot = core->intake.slot;
    enum failure failure = judge(core);
    const char *text = text_of(failure);
    if (failure == FAILED_NONE) {
        text = core->app->check(slot->parameters, slot->n_parameters);
        failure = text != NULL ? FAILED_BAD_PARAMETERS : FAILED_NONE;
    }
    if (failure != FAILED_NONE) {
        slot_empty(slot);
        outbox_fail(core, slot->id, failure, text);
        return;
    }
    slot->held = slot->id;
    slot->order = core->next_order++;
    slot->state = SLOT_READY;
}

void intake_end(struct core *core, bool sound)
{
    struct intake *intake = &core->intake;
    const struct frame_header *header = &core->reader.header;
    if (!sound || intake->nak != NAK_NONE) {
        intake_drop(core, sound ? intake->nak : NAK_CORRUPT);
        return;
    }
    core->frames++;
    if (intake->kind == INTAKE_EVALUATE)
        end_evaluate(core);
    else if (intake->kind == INTAKE_MESSAGE)
        request_answer(core, header, intake->bytes);
    else
        outbox_fail(core, header->id, FAILED_NOT_SUPPORTED, "this application does not evaluate bitstreams");
    intake->slot = NULL;
}
