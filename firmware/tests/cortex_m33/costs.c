/* What the core costs a Cortex-M33, in instructions. For QEMU with `-icount shift=0`, where each takes one nanosecond. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_port.h"
#include "check.h"
#include "crc32.h"
#include "le.h"

enum { PACKET = 64, TICK = 50 /* instructions: AN505 has 20 MHz */, SYSTICK_MAX = 0xffffff };

static volatile uint32_t *const systick = (volatile uint32_t *)0xe000e010; /* control, reload, value */

static uint8_t bitstream[BITSTREAM_CAPACITY], block[EVALUATE_MAX], payload[EVALUATE_MAX], frame[EVALUATE_MAX + FRAME_OVERHEAD];

static void begin(void)
{
    systick[1] = SYSTICK_MAX;
    systick[2] = 0;
    systick[0] = 5; /* processor's clock, no interrupt */
}

static uint32_t instructions(void)
{
    uint32_t left = systick[2];
    CHECK(!(systick[0] & 1u << 16)); /* it has not wrapped */
    return (SYSTICK_MAX - left) * TICK;
}

static void say(const char *what, uint32_t cost)
{
    printf("%s %lu\n", what, (unsigned long)cost);
}

/* Two instructions a round: whether time is what this file takes it for. */
static void calibrate(void)
{
    uint32_t rounds = 1000000;
    begin();
    __asm volatile("1: subs %0, #1\n bne 1b" : "+r"(rounds) : : "cc");
    say("calibration", instructions());
}

/* LZ4 in sequences of 4 literals and a match of 4: as many tokens as a block can have, for each byte. */
static size_t densest_block(void)
{
    size_t n = 0, decoded = 0;
    for (; decoded + 8 <= sizeof bitstream - 8; decoded += 8) {
        block[n++] = 0x40;
        for (int i = 0; i < 4; i++)
            bitstream[decoded + i] = bitstream[decoded + 4 + i] = block[n++] = (uint8_t)rand();
        le_put16(block + n, 4);
        n += 2;
    }
    size_t rest = sizeof bitstream - decoded;
    CHECK(rest >= 8 && rest < 15 + 255);
    block[n++] = rest < 15 ? (uint8_t)(rest << 4) : 0xf0;
    if (rest >= 15)
        block[n++] = (uint8_t)(rest - 15);
    for (size_t i = 0; i < rest; i++)
        bitstream[decoded + i] = block[n++] = (uint8_t)rand();
    return n;
}

/* A whole EVALUATE, in packets of USB, until the FPGA is given the bitstream. */
static void receive(const char *what, uint8_t encoding, const uint8_t *encoded, size_t n)
{
    struct port *bench = bench_new(&app_pulse_count);
    size_t size = bench_evaluate(payload, encoding, sizeof bitstream, 1000, 1, encoded, n);
    struct frame_header header = {MSG_EVALUATE, 0, 1, (uint32_t)size};
    size = frame_write(frame, &header, payload);
    bench->load = LOAD_BUSY;
    begin();
    for (size_t at = 0; at < size; at += PACKET) {
        size_t piece = size - at < PACKET ? size - at : PACKET;
        CHECK(core_receive(&bench->core, frame + at, piece) == piece);
        while (core_poll(&bench->core))
            ;
    }
    say(what, instructions());
    CHECK(bench->loads == 1 && bench->n_loaded == sizeof bitstream && memcmp(bench->loaded, bitstream, sizeof bitstream) == 0);
    bench_free(bench);
}

/* An EVALUATE that differs in 20 bytes from the bitstream that the board holds, until the FPGA is given it. */
static void receive_difference(void)
{
    enum { RUNS = 20, EVERY = 5000 };
    struct port *bench = bench_new(&app_pulse_count);
    size_t size = bench_evaluate(payload, ENCODING_RAW, sizeof bitstream, 1000, 1, bitstream, sizeof bitstream);
    bench_ask(bench, MSG_EVALUATE, 1, payload, size);
    static uint8_t fields[DIFFERENCE_FIXED + RUNS * 4];
    for (size_t i = 0; i < RUNS; i++) {
        uint8_t *run = fields + DIFFERENCE_FIXED + i * 4;
        bitstream[i * EVERY + EVERY - 1] ^= 1;
        run[0] = (uint8_t)(0x80 | (EVERY - 1));
        run[1] = (EVERY - 1) >> 7;
        run[2] = 1;
        run[3] = bitstream[i * EVERY + EVERY - 1];
    }
    le_put32(fields, 1);
    le_put32(fields + 4, crc32_update(0, bitstream, sizeof bitstream));
    size = bench_evaluate(payload, ENCODING_DIFFERENCE, sizeof bitstream, 1000, 1, fields, sizeof fields);
    begin();
    bench_ask(bench, MSG_EVALUATE, 2, payload, size);
    say("difference", instructions());
    CHECK(bench->loads == 2 && memcmp(bench->loaded, bitstream, sizeof bitstream) == 0);
    bench_free(bench);
}

int main(void)
{
    calibrate();
    for (size_t i = 0; i < sizeof bitstream; i++)
        bitstream[i] = (uint8_t)rand();
    begin();
    uint32_t crc = crc32_update(0, bitstream, sizeof bitstream);
    say("crc", instructions());
    CHECK(crc != 0);
    receive("raw", ENCODING_RAW, bitstream, sizeof bitstream);
    receive_difference();
    size_t n = densest_block();
    receive("lz4", ENCODING_LZ4, block, n);
    struct port *bench = bench_new(&app_pulse_count);
    begin();
    bench_ask(bench, MSG_TEST, 1, NULL, 0);
    say("test", instructions());
    bench_free(bench);
    return 0;
}
