/* The port: what the core asks of the hardware. */
#include "port.h"

#include "board.h"
#include "pico/time.h"
#include "tusb.h"

uint64_t port_now_us(struct port *board)
{
    (void)board;
    return time_us_64();
}

size_t port_tx(struct port *board, const uint8_t *bytes, size_t n)
{
    (void)board;
    size_t room = tud_cdc_write_available();
    size_t taken = n < room ? n : room;
    if (taken == 0)
        return 0;
    taken = tud_cdc_write(bytes, (uint32_t)taken);
    tud_cdc_write_flush();
    return taken;
}

void port_clock(struct port *board, uint32_t mhz)
{
    fpga_clock_set(&board->clock, mhz);
}

void port_load_start(struct port *board, const uint8_t *bitstream, size_t n, uint8_t slower)
{
    counter_stop(&board->counter);
    sampler_stop(&board->sampler);
    fpga_uart_close(&board->uart);
    cram_start(&board->cram, bitstream, n, slower, time_us_64());
}

enum load_state port_load_state(struct port *board)
{
    enum load_state state = cram_poll(&board->cram, time_us_64());
    if (state != LOAD_BUSY)
        board->load_failed = state != LOAD_DONE;
    return state;
}

void port_count_start(struct port *board, const uint8_t *pins, uint8_t n, uint32_t window_us)
{
    counter_start(&board->counter, pins, n, window_us);
}

bool port_count_read(struct port *board, uint32_t *pulses, uint32_t *window_us)
{
    return counter_read(&board->counter, pulses, window_us);
}

void port_sample_start(struct port *board, uint32_t delay_us, uint32_t rate_hz, uint16_t *samples, uint16_t n)
{
    sampler_start(&board->sampler, delay_us, rate_hz, samples, n);
}

bool port_sample_done(struct port *board, uint32_t *window_us)
{
    return sampler_done(&board->sampler, window_us);
}

/* A real board measures, and can measure whatever circuit it is given. */
uint16_t port_origin(struct port *board)
{
    (void)board;
    return ORIGIN_MEASURED;
}

const char *port_failure(struct port *board)
{
    (void)board;
    return NULL;
}

void port_uart_start(struct port *board, uint32_t baud)
{
    fpga_uart_open(&board->uart, baud);
}

size_t port_uart_write(struct port *board, const uint8_t *bytes, size_t n)
{
    return fpga_uart_write(&board->uart, bytes, n);
}

size_t port_uart_read(struct port *board, uint8_t *bytes, size_t room, uint32_t *lost)
{
    return fpga_uart_read(&board->uart, bytes, room, lost);
}

void port_stop(struct port *board)
{
    counter_stop(&board->counter);
    sampler_stop(&board->sampler);
    fpga_uart_close(&board->uart);
    cram_hold(&board->cram);
}

int16_t port_temperature(struct port *board)
{
    return sampler_temperature(&board->sampler);
}

const char *port_serial(struct port *board)
{
    return board->serial;
}
