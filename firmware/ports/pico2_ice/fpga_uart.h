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
    struct fpga_uart_ring from_fpga; /* filled by the interrupt */
    /* What came in vain, and what of that was told. While there is more to tell, all else that comes is lost as well: so the loss
     * has one place among the bytes, behind those that wait. */
    volatile uint32_t lost, told;
    struct fpga_uart_ring to_fpga;
};

/* There is one; the interrupt needs to know it. */
void fpga_uart_init(struct fpga_uart *uart);
void fpga_uart_open(struct fpga_uart *uart, uint32_t baud);
void fpga_uart_close(struct fpga_uart *uart);
/* Return how many bytes were taken. */
size_t fpga_uart_write(struct fpga_uart *uart, const uint8_t *bytes, size_t n);
/* `lost`: how many bytes came before these and are not among them; at least one for each time that the UART itself had no room. */
size_t fpga_uart_read(struct fpga_uart *uart, uint8_t *bytes, size_t room, uint32_t *lost);
/* Hand what waits to the UART; called often. */
void fpga_uart_service(struct fpga_uart *uart);

#endif
