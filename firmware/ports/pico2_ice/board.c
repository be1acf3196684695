#include "board.h"

#include <string.h>

#include "hardware/watchdog.h"
#include "leds.h"
#include "pico/bootrom.h"
#include "pico/time.h"
#include "pico/unique_id.h"
#include "restart.h"
#include "tusb.h"
#include "version.h"

void board_init(struct port *board, const struct app *app)
{
    struct restart restart = restart_reason();
    memset(board, 0, sizeof *board);
    watchdog_enable(BOARD_WATCHDOG_MS, true); /* from the first: what follows may hang as well */
    leds_init();
    leds_show(leds_colour(false, false, false));
    pico_get_unique_board_id_string(board->serial, sizeof board->serial);
    cram_init(&board->cram); /* first of all: the FPGA may have loaded something from its flash */
    counter_init(&board->counter);
    sampler_init(&board->sampler);
    fpga_uart_init(&board->uart);
    fpga_clock_init(&board->clock, CLOCK_DEFAULT_MHZ);
    core_init(&board->core, board, app, FIRMWARE_VERSION, board->slots, BOARD_BUFFERS);
    if (restart.text != NULL)
        core_log(&board->core, restart.level, restart.text);
    tud_init(0);
}

static void leave(struct port *board, bool to_loader, uint64_t delay_us)
{
    if (board->place != BOARD_SERVING)
        return;
    board->place = BOARD_LEAVING;
    board->to_loader = to_loader;
    board->leave_us = time_us_64() + delay_us;
}

static void depart(struct port *board)
{
    board->place = BOARD_LEFT;
    port_stop(board);
    leds_show(0);
    tud_disconnect();
    if (board->to_loader) {
        watchdog_disable(); /* it would end the boot loader */
        restart_asked_for();
        reset_usb_boot(0, 0);
    } else {
        watchdog_reboot(0, 0, 0);
    }
}

static void receive(struct port *board)
{
    if (board->rx_start == board->rx_end) {
        board->rx_start = 0;
        board->rx_end = tud_cdc_available() ? tud_cdc_read(board->rx, sizeof board->rx) : 0;
    }
    if (board->rx_start < board->rx_end)
        board->rx_start += core_receive(&board->core, board->rx + board->rx_start, board->rx_end - board->rx_start);
}

static void serve(struct port *board)
{
    enum { ROUNDS = 16 }; /* then USB has its turn */
    receive(board);
    for (int round = 0; round < ROUNDS && core_poll(&board->core); round++)
        ;
    fpga_uart_service(&board->uart);
    if (board->touched && time_us_64() - board->touched_us >= BOARD_TOUCH_US)
        leave(board, true, 0);
}

void board_step(struct port *board)
{
    if (board->place == BOARD_LEFT)
        return; /* and should the restart not come, the watchdog's does */
    watchdog_update();
    tud_task();
    if (board->place == BOARD_SERVING)
        serve(board);
    if (board->place == BOARD_LEAVING && time_us_64() >= board->leave_us)
        depart(board);
    else
        leds_show(leds_colour(tud_ready(), board->core.phase != CORE_IDLE, board->load_failed));
}

static void forget_host(struct port *board)
{
    core_disconnected(&board->core);
    tud_cdc_write_clear();
}

static void hang_up(struct port *board)
{
    forget_host(board);
    tud_cdc_read_flush();
    board->rx_start = board->rx_end = 0;
}

/* A host that opens the port finds a quiet board, whatever the last one left behind. */
void board_line_state(struct port *board, bool dtr)
{
    if (dtr == board->host_open)
        return;
    board->host_open = dtr;
    if (dtr) {
        forget_host(board); /* what came from the new host is kept */
        return;
    }
    hang_up(board);
    if (board->touched)
        leave(board, true, 0);
}

void board_line_coding(struct port *board, uint32_t baud)
{
    enum { TOUCH_BAUD = 1200 };
    board->touched = baud == TOUCH_BAUD;
    board->touched_us = time_us_64();
}

void board_unplugged(struct port *board)
{
    board->touched = board->host_open = false;
    hang_up(board);
}

/* The host sleeps, or the cable is out, which looks the same. One that wakes up takes the port as open still. */
void board_suspended(struct port *board)
{
    board->touched = false;
    hang_up(board);
}

/* TinyUSB asks for a packet when one was read, but not while the bus sleeps: what was thrown away then may have been the last. */
void board_resumed(struct port *board)
{
    hang_up(board);
}

void port_reboot(struct port *board, bool to_loader)
{
    leave(board, to_loader, BOARD_LEAVE_US);
}
