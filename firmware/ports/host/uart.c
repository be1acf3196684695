#include "uart.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* The most that one byte can cause: its echo, the line in upper case, a new line before and after it, the prompt. */
enum { ANSWER_MAX = 1 + UART_LINE + 8 };

static const char prompt[] = "\r\n> ";

static void send(struct uart *uart, const void *bytes, size_t n)
{
    memcpy(uart->sent + uart->end, bytes, n);
    uart->end += n;
}

static size_t room(struct uart *uart)
{
    memmove(uart->sent, uart->sent + uart->start, uart->end - uart->start);
    uart->end -= uart->start;
    uart->start = 0;
    return sizeof uart->sent - uart->end;
}

void uart_open(struct uart *uart, uint32_t crc)
{
    char banner[32];
    memset(uart, 0, sizeof *uart);
    uart->open = true;
    send(uart, banner, (size_t)snprintf(banner, sizeof banner, "circuit %08x", (unsigned)crc));
    send(uart, prompt, strlen(prompt));
}

void uart_close(struct uart *uart)
{
    uart->open = false;
}

static void take(struct uart *uart, uint8_t byte)
{
    if (byte != '\r' && byte != '\n') {
        send(uart, &byte, 1);
        if (uart->n_line < sizeof uart->line)
            uart->line[uart->n_line++] = (uint8_t)toupper(byte);
        return;
    }
    if (uart->n_line > 0) {
        send(uart, "\r\n", 2);
        send(uart, uart->line, uart->n_line);
    }
    uart->n_line = 0;
    send(uart, prompt, strlen(prompt));
}

size_t uart_write(struct uart *uart, const uint8_t *bytes, size_t n)
{
    size_t taken = 0;
    while (uart->open && taken < n && room(uart) >= ANSWER_MAX)
        take(uart, bytes[taken++]);
    return taken;
}

size_t uart_read(struct uart *uart, uint8_t *bytes, size_t n)
{
    size_t there = uart->end - uart->start;
    if (!uart->open)
        return 0;
    if (n > there)
        n = there;
    memcpy(bytes, uart->sent + uart->start, n);
    uart->start += n;
    return n;
}
