#include "fpga_uart.h"

#include "hardware/gpio.h"
#include "hardware/irq.h"
#include "hardware/uart.h"
#include "pads.h"
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

/* The UART's overrun flag comes with the byte that arrived next after those that its queue of 32 had no room for (PL011 manual,
 * UARTDR). A byte with a framing error or a break is handed on as it is: that is for who knows the circuit. */
static void on_received(void)
{
    struct fpga_uart *uart = served;
    while (uart_is_readable(uart0)) {
        uint32_t data = uart_get_hw(uart0)->dr;
        uint32_t missed = (data & UART_UARTDR_OE_BITS) != 0;
        if (missed || uart->lost != uart->told || !put(&uart->from_fpga, (uint8_t)data))
            uart->lost += 1 + missed;
    }
}

static void pins_let_go(void)
{
    pad_let_go(PIN_UART_TX);
    pad_let_go(PIN_UART_RX);
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
    uart->lost = uart->told = 0;
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

size_t fpga_uart_read(struct fpga_uart *uart, uint8_t *bytes, size_t room, uint32_t *lost)
{
    size_t n = 0;
    uint32_t lost_so_far = uart->lost; /* looked at first: while this is more than was told, nothing is put behind it */
    *lost = 0;
    while (uart->open && n < room && take(&uart->from_fpga, &bytes[n]))
        n++;
    if (n == 0) {
        *lost = lost_so_far - uart->told;
        uart->told = lost_so_far; /* from here on the interrupt puts bytes again */
    }
    return n;
}

void fpga_uart_service(struct fpga_uart *uart)
{
    uint8_t byte;
    while (uart->open && uart_is_writable(uart0) && take(&uart->to_fpga, &byte))
        uart_putc_raw(uart0, (char)byte);
}
