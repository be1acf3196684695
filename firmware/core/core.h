/* The board: takes bytes from the host, evaluates bitstreams, answers. All state is in struct core, none of it global.
 *
 * The port calls core_receive with what arrived, and core_poll after that, whenever its hardware finished something, whenever it
 * can send again, and when the time core_deadline is reached. Nothing here blocks.
 *
 * Its files, each of which calls only those further down:
 *     core.c        what the port calls
 *     intake.c      a frame while it arrives
 *     requests.c    answers to all requests but EVALUATE
 *     selftest.c
 *     evaluate.c    buffers, and what is loaded and measured
 *     outbox.c      frames and log lines on their way to the host
 *     frame.c, lz4.c, difference.c, crc32.c */
#ifndef CORE_H
#define CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "app.h"
#include "difference.h"
#include "frame.h"
#include "lz4.h"
#include "port.h"
#include "protocol.h"

enum { CORE_TX_SIZE = 2 * REPLY_MAX, LOG_LINES = 8 };

#define CORE_NEVER UINT64_MAX

enum slot_state { SLOT_FREE, SLOT_FILLING, SLOT_READY, SLOT_ACTIVE };

/* A bitstream buffer and the evaluation that it is for. After a RESULT it keeps its bitstream, as a base of differences, until another
 * evaluation takes the buffer. */
struct slot {
    enum slot_state state;
    uint32_t id;
    uint32_t held; /* id of the EVALUATE whose bitstream is whole in here, or 0 */
    uint32_t order; /* of that one */
    uint32_t length;
    uint16_t n_parameters;
    uint8_t slower; /* the configuration clock is divided by that */
    uint8_t parameters[PARAMETERS_MAX];
    _Alignas(4) uint8_t bitstream[BITSTREAM_CAPACITY];
};

/* What becomes of the frame that is being received. */
struct intake {
    enum { INTAKE_DISCARD, INTAKE_MESSAGE, INTAKE_EVALUATE } kind;
    enum nak nak;
    enum failure failure;
    struct slot *slot;
    uint32_t got; /* payload bytes so far */
    uint32_t fixed; /* EVALUATE: bytes in front of the bitstream or of the difference, once known */
    uint32_t held_length; /* of the bitstream that the slot held until now */
    struct lz4_decoder lz4;
    struct difference_decoder difference;
    uint8_t bytes[REQUEST_MAX];
};

struct log_line {
    enum log_level level;
    const char *text;
};

enum core_phase { CORE_IDLE, CORE_LOADING, CORE_MEASURING };

struct core {
    struct port *port;
    const struct app *app;
    const char *version;
    struct slot *slots;
    uint8_t n_slots;

    struct frame_reader reader;
    struct intake intake;
    bool held; /* an EVALUATE waits for a free slot, and we do not read */
    uint64_t last_byte_us;
    uint32_t received; /* bytes over USB */

    enum core_phase phase;
    struct slot *active;
    struct app_run run;
    uint32_t next_order;
    uint32_t load_us;
    uint64_t phase_start_us;
    uint64_t phase_limit_us;
    uint32_t received_at_start;

    uint32_t frames;
    uint32_t refused;
    uint32_t evaluations;
    uint32_t watchdogs;

    enum { REBOOT_NONE, REBOOT_APPLICATION, REBOOT_LOADER, REBOOT_DONE } reboot;
    bool greeted; /* the host has said HELLO since it opened the port */
    bool ailing; /* the last evaluation was ended by the hardware, and the log has it */
    uint8_t n_log;
    struct log_line log[LOG_LINES];

    size_t tx_start, tx_end;
    uint8_t tx[CORE_TX_SIZE];
};

/* The slots' memory is the port's, and so is the version's text. */
void core_init(struct core *core, struct port *port, const struct app *app, const char *version, struct slot *slots,
               uint8_t n_slots);

/* Take bytes from the host; returns how many were taken. Fewer than n: offer the rest again after core_poll did something. */
size_t core_receive(struct core *core, const uint8_t *bytes, size_t n);

/* Go on with the evaluation and with sending. Returns whether anything was done; the caller repeats until not. */
bool core_poll(struct core *core);

/* When core_poll has to be called at the latest for a time limit of the core's own (port_now_us), or CORE_NEVER. */
uint64_t core_deadline(const struct core *core);

/* The host closed the port: end all evaluations, forget what is half received and not yet sent. */
void core_disconnected(struct core *core);

/* Queue a frame for the host. Returns false, and does nothing, when there is no room. */
bool core_send(struct core *core, uint8_t type, uint32_t id, const uint8_t *payload, size_t n);

/* The same for a payload that is put together where it is sent from: room for n bytes of it, or NULL where there is none, and then
 * the frame, whose payload has no more than that. Nothing else is sent in between. */
uint8_t *core_reserve(struct core *core, size_t n);
void core_commit(struct core *core, uint8_t type, uint32_t id, size_t n);

/* Tell the host in a LOG, which waits until one has said HELLO. The text stays as it is for ever. Whoever calls sees to it that one
 * cause does not tell it again and again; when too many wait, the first are kept. */
void core_log(struct core *core, enum log_level level, const char *text);

#endif
