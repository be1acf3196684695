#include "counter.h"

#include "counter.pio.h"
#include "hardware/clocks.h"
#include "hardware/gpio.h"
#include "hardware/pio.h"
#include "machines.h"
#include "pads.h"
#include "pins.h"
#include "timing.h"

#define BOTH (1u << MACHINE_COUNTER | 1u << MACHINE_WINDOW)

void counter_init(struct counter *counter)
{
    counter->counter_offset = (unsigned)pio_add_program(MACHINES_PIO, &counter_program);
    counter->window_offset = (unsigned)pio_add_program(MACHINES_PIO, &window_program);
    pad_let_go(PIN_PULSES);
    counter_stop(counter);
}

void counter_stop(struct counter *counter)
{
    pio_set_sm_mask_enabled(MACHINES_PIO, BOTH, false);
    pio_interrupt_clear(MACHINES_PIO, WINDOW_FLAG);
    pad_let_go(PIN_PULSES);
    counter->counting = false;
}

void counter_start(struct counter *counter, uint32_t window_us)
{
    counter_stop(counter);
    pad_listen(PIN_PULSES); /* it rises, if nobody drives it, before the window opens */
    pio_sm_config edges = counter_program_get_default_config(counter->counter_offset);
    sm_config_set_in_pins(&edges, PIN_PULSES);
    pio_sm_init(MACHINES_PIO, MACHINE_COUNTER, counter->counter_offset, &edges);
    pio_sm_exec(MACHINES_PIO, MACHINE_COUNTER, pio_encode_mov_not(pio_x, pio_null));

    pio_sm_config gate = window_program_get_default_config(counter->window_offset);
    sm_config_set_clkdiv_int_frac8(&gate, timing_window_divider(clock_get_hz(clk_sys)), 0);
    pio_sm_init(MACHINES_PIO, MACHINE_WINDOW, counter->window_offset, &gate);
    pio_sm_put(MACHINES_PIO, MACHINE_WINDOW, timing_window_ticks(window_us));

    counter->window_us = window_us;
    counter->counting = true;
    pio_enable_sm_mask_in_sync(MACHINES_PIO, BOTH);
}

bool counter_read(struct counter *counter, uint32_t *pulses, uint32_t *window_us)
{
    if (!counter->counting || pio_sm_is_rx_fifo_empty(MACHINES_PIO, MACHINE_WINDOW))
        return false;
    counter_stop(counter);
    /* X counted down from all ones. */
    pio_sm_exec(MACHINES_PIO, MACHINE_COUNTER, pio_encode_mov_not(pio_isr, pio_x));
    pio_sm_exec(MACHINES_PIO, MACHINE_COUNTER, pio_encode_push(false, false));
    *pulses = pio_sm_get(MACHINES_PIO, MACHINE_COUNTER);
    *window_us = counter->window_us;
    return true;
}
