#include "fpga_uart.h"

#include "hardware/gpio.h"
#include "hardware/irq.h"
#include "hardware/uart.h"
#include "pins.h"

static struct fpga_uart *served;

static bool put(struct fpga_uart_ring *ring, uint8_t byte)
{
    if (ring->put - ring->taken == FPGA_UART_RING)
        return false;
    ring->bytes[ring->put & FPGA_UART_MASK] = byte;
    ring->put++;
    return true;
}

static bool take(struct fpga_uart_ring *ring, uint8_t *byte)
{
    if (ring->put == ring->taken)
        return false;
    *byte = ring->bytes[ring->taken & FPGA_UART_MASK];
    ring->taken++;
    return true;
}

static void on_received(void)
{
    while (uart_is_readable(uart0))
        put(&served->from_fpga, (uint8_t)uart_getc(uart0));
}

static void pins_let_go(void)
{
    gpio_init(PIN_UART_TX);
    gpio_init(PIN_UART_RX);
    gpio_disable_pulls(PIN_UART_TX);
    gpio_disable_pulls(PIN_UART_RX);
}

void fpga_uart_init(struct fpga_uart *uart)
{
    served = uart;
    irq_set_exclusive_handler(UART0_IRQ, on_received);
    pins_let_go();
}

void fpga_uart_open(struct fpga_uart *uart, uint32_t baud)
{
    fpga_uart_close(uart);
    uart->from_fpga.put = uart->from_fpga.taken = 0;
    uart->to_fpga.put = uart->to_fpga.taken = 0;
    uart_init(uart0, baud);
    gpio_set_function(PIN_UART_TX, GPIO_FUNC_UART);
    gpio_set_function(PIN_UART_RX, GPIO_FUNC_UART);
    gpio_pull_up(PIN_UART_RX); /* idle, where the circuit does not drive it */
    uart_set_irqs_enabled(uart0, true, false);
    irq_set_enabled(UART0_IRQ, true);
    uart->open = true;
}

void fpga_uart_close(struct fpga_uart *uart)
{
    if (!uart->open)
        return;
    uart->open = false;
    irq_set_enabled(UART0_IRQ, false);
    uart_deinit(uart0);
    pins_let_go();
}

size_t fpga_uart_write(struct fpga_uart *uart, const uint8_t *bytes, size_t n)
{
    size_t taken = 0;
    while (uart->open && taken < n && put(&uart->to_fpga, bytes[taken]))
        taken++;
    return taken;
}

size_t fpga_uart_read(struct fpga_uart *uart, uint8_t *bytes, size_t room)
{
    size_t n = 0;
    while (uart->open && n < room && take(&uart->from_fpga, &bytes[n]))
        n++;
    return n;
}

void fpga_uart_service(struct fpga_uart *uart)
{
    uint8_t byte;
    while (uart->open && uart_is_writable(uart0) && take(&uart->to_fpga, &byte))
        uart_putc_raw(uart0, (char)byte);
}
