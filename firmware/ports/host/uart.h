/* What the virtual FPGA does at its serial port, whatever its bitstream: it prompts, echoes, and shouts each line back. */
#ifndef UART_H
#define UART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { UART_SIZE = 4096, UART_LINE = 128 };

struct uart {
    bool open;
    size_t n_line;
    uint8_t line[UART_LINE];
    size_t start, end; /* what the FPGA has sent and nobody has read */
    uint8_t sent[UART_SIZE];
};

/* The FPGA starts with a bitstream that has this CRC-32: it says so and prompts. */
void uart_open(struct uart *uart, uint32_t crc);
void uart_close(struct uart *uart);

/* As port_uart_write and port_uart_read, but that nothing is lost. */
size_t uart_write(struct uart *uart, const uint8_t *bytes, size_t n);
size_t uart_read(struct uart *uart, uint8_t *bytes, size_t room);

#endif
