/* A board on the bench for the tests of the worker (tests/unit/core_board.py), which know nothing of its structs. */
#include <stdlib.h>
#include <string.h>

#include "bench_port.h"
#include "crc32.h"

/* It counts nothing until it is told to. */
struct port *board_new(uint8_t buffers)
{
    struct port *bench = bench_new(&app_pulse_count);
    struct slot *slots = calloc(buffers, sizeof *slots);
    if (slots == NULL)
        abort();
    core_init(&bench->core, bench, &app_pulse_count, "1.2.3", slots, buffers);
    bench->counts = false;
    return bench;
}

void board_free(struct port *bench)
{
    free(bench->core.slots);
    bench_free(bench);
}

/* End the evaluation that is being measured, if there is one: with the CRC-32 of its bitstream as its count, or with FAILED. */
void board_end_one(struct port *bench, bool well)
{
    const struct slot *active = bench->core.active;
    if (active == NULL)
        return;
    bench->counts = well;
    bench->failure = well ? NULL : "not this one";
    bench->pulses = crc32_update(0, bench->loaded, bench->n_loaded) - bench->windows;
    while (bench->core.active == active && core_poll(&bench->core))
        ;
    bench->counts = false;
    bench->failure = NULL;
    bench_run(bench);
}

/* Ids of the EVALUATEs whose bitstreams it holds; returns how many. */
size_t board_held(const struct port *bench, uint32_t *ids)
{
    size_t n = 0;
    for (uint8_t i = 0; i < bench->core.n_slots; i++)
        if (bench->core.slots[i].held != 0)
            ids[n++] = bench->core.slots[i].held;
    return n;
}

/* Take what it sent; returns how many bytes. */
size_t board_sent(struct port *bench, uint8_t *out)
{
    size_t n = bench->n_sent;
    memcpy(out, bench->sent, n);
    bench->n_sent = 0;
    return n;
}

void board_hang_up(struct port *bench)
{
    core_disconnected(&bench->core);
    bench->n_sent = 0;
}
