/* The serial port between the RP2350 and the FPGA: 8 data bits, no parity, 1 stop bit. */
#ifndef FPGA_UART_H
#define FPGA_UART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    FPGA_UART_RING = 8192, /* a power of two; 27 ms at 3,000,000 baud */
    FPGA_UART_MASK = FPGA_UART_RING - 1,
};

/* Positions count bytes, and wrap. */
struct fpga_uart_ring {
    volatile uint32_t put, taken;
    uint8_t bytes[FPGA_UART_RING];
};

struct fpga_uart {
    bool open;
    struct fpga_uart_ring from_fpga; /* filled by the interrupt; what finds no room is lost */
    struct fpga_uart_ring to_fpga;
};

/* There is one; the interrupt needs to know it. */
void fpga_uart_init(struct fpga_uart *uart);
void fpga_uart_open(struct fpga_uart *uart, uint32_t baud);
void fpga_uart_close(struct fpga_uart *uart);
/* Return how many bytes were taken. */
size_t fpga_uart_write(struct fpga_uart *uart, const uint8_t *bytes, size_t n);
size_t fpga_uart_read(struct fpga_uart *uart, uint8_t *bytes, size_t room);
/* Hand what waits to the UART; called often. */
void fpga_uart_service(struct fpga_uart *uart);

#endif
