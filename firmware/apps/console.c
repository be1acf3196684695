/* Carries bytes between the host and the FPGA's serial port. An evaluation loads a bitstream and opens the port; the circuit then
 * goes on running. Layouts: docs/protocol.md. */
#include "app.h"
#include "core.h"
#include "le.h"

enum { PARAMETERS_SIZE = 4, BAUD_MIN = 300, BAUD_MAX = 3000000, POSITION_SIZE = 4, CHUNK = 512 };

/* Places in app_run.words: bytes since the port was opened, to and from the FPGA; how often some of these were lost. */
enum { TAKEN, SENT, LOSSES };

enum { MSG_WRITE = 0x40, MSG_OUTPUT = 0xc1 };

static const char *check(const uint8_t *parameters, size_t n)
{
    if (n != PARAMETERS_SIZE)
        return "console takes 4 bytes of parameters";
    uint32_t baud = le_get32(parameters);
    return baud >= BAUD_MIN && baud <= BAUD_MAX ? 0 : "the rate must be 300 to 3000000 baud";
}

static uint64_t expected_us(const uint8_t *parameters, size_t n)
{
    (void)parameters;
    (void)n;
    return 0;
}

static void start(struct app_run *run, const uint8_t *parameters, size_t n, struct port *port)
{
    (void)n;
    run->words[TAKEN] = run->words[SENT] = run->words[LOSSES] = 0;
    port_uart_start(port, le_get32(parameters));
}

static bool poll(struct app_run *run, struct port *port)
{
    (void)run;
    (void)port;
    return true;
}

/* The host counts the bytes that it sends, and says where those of a message begin: sent twice, they are taken once. */
static bool message(struct core *core, uint8_t type, uint32_t id, const uint8_t *payload, size_t n)
{
    if (type != MSG_WRITE || n < POSITION_SIZE)
        return false;
    uint32_t *taken = &core->run.words[TAKEN];
    uint32_t known = *taken - le_get32(payload); /* bytes of this message that were taken before */
    n -= POSITION_SIZE;
    if (known < n)
        *taken += (uint32_t)port_uart_write(core->port, payload + POSITION_SIZE + known, n - known);
    uint8_t reply[POSITION_SIZE];
    le_put32(reply, *taken);
    return core_send(core, MSG_WRITE | MSG_REPLY, id, reply, sizeof reply);
}

static bool idle(struct core *core, struct port *port)
{
    uint32_t *words = core->run.words, lost = 0;
    if (core->phase == CORE_MEASURING)
        return false; /* the answer to EVALUATE comes first */
    uint8_t *payload = core_reserve(core, POSITION_SIZE + CHUNK); /* there is room for more, or we would not be called */
    size_t n = port_uart_read(port, payload + POSITION_SIZE, CHUNK, &lost);
    words[SENT] += lost; /* the host finds a gap */
    if (lost > 0 && words[LOSSES]++ == 0)
        core_log(core, LEVEL_WARNING, "the FPGA sends more than the host reads: bytes of its serial port are lost");
    if (n == 0)
        return lost > 0;
    le_put32(payload, words[SENT]);
    words[SENT] += (uint32_t)n;
    core_commit(core, MSG_OUTPUT, 0, POSITION_SIZE + n);
    return true;
}

const struct app app_console = {
    .name = "console",
    .check = check,
    .expected_us = expected_us,
    .start = start,
    .poll = poll,
    .message = message,
    .idle = idle,
};
