/* A port for tests: a board on the bench, whose clock, FPGA and USB the test works by hand. */
#ifndef BENCH_PORT_H
#define BENCH_PORT_H

#include "core.h"

enum { BENCH_SENT = 1 << 18, BENCH_FRAMES = 64, BENCH_UART = 1 << 14 };

struct port {
    uint64_t now_us;
    enum load_state load;
    bool counts; /* windows end at once */
    uint32_t pulses;
    uint32_t window_us;
    bool counting;
    uint8_t pins[COUNTED_MAX], n_pins;
    uint32_t windows;
    uint16_t *samples;
    uint16_t n_samples;
    uint32_t delay_us, rate_hz;
    bool sampled; /* sampling ends at once; sample i is then i * i */
    uint32_t baud; /* of the serial port, or 0 */
    size_t uart_room; /* bytes that the FPGA takes before it takes no more */
    size_t n_taken, n_given, n_read;
    uint32_t n_lost;
    uint8_t taken[BENCH_UART], given[BENCH_UART]; /* by and by the FPGA */
    uint16_t origin;
    const char *failure;
    uint32_t clock_mhz;
    uint32_t clocked_loads; /* how many loads had begun as the clock was set */
    uint32_t loads;
    uint32_t stops;
    const uint8_t *loaded;
    size_t n_loaded;
    uint8_t slower;
    size_t tx_room; /* bytes that USB takes before it takes no more */
    size_t n_sent;
    uint8_t sent[BENCH_SENT];
    int reboots;
    bool to_loader;
    struct core core;
    struct slot slots[2];
};

struct bench_frame {
    uint8_t type;
    uint32_t id;
    size_t n;
    uint8_t payload[REPLY_MAX];
};

/* A board that loads and counts at once and sends without limit. */
struct port *bench_new(const struct app *app);
void bench_free(struct port *bench);

/* Hand all bytes over, letting the board go on as the host port does; returns how many it took. */
size_t bench_give(struct port *bench, const uint8_t *bytes, size_t n);
void bench_run(struct port *bench);

/* Build a request and hand it over. */
size_t bench_ask(struct port *bench, uint8_t type, uint32_t id, const void *payload, size_t n);

/* Take the frames sent since the last call; each must be sound, and nothing may lie between them. Returns how many. */
int bench_sent(struct port *bench, struct bench_frame frames[BENCH_FRAMES]);

/* Exactly one frame was sent since the last call: of that type, about that request. */
void bench_expect(struct port *bench, struct bench_frame got[BENCH_FRAMES], uint8_t type, uint32_t id);
/* The same for a FAILED, which also says something in words. */
void bench_expect_failed(struct port *bench, struct bench_frame got[BENCH_FRAMES], uint32_t id, enum failure failure);

/* The payload of an EVALUATE with pulse_count's parameters; returns its size. */
size_t bench_evaluate(uint8_t *out, uint8_t encoding, uint32_t length, uint32_t window_us, uint16_t repeats,
                      const uint8_t *bitstream, size_t n);

#endif
