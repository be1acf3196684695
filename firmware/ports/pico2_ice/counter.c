#include "counter.h"

#include "counter.pio.h"
#include "hardware/clocks.h"
#include "hardware/gpio.h"
#include "hardware/pio.h"
#include "machines.h"
#include "pads.h"
#include "pins.h"
#include "timing.h"

/* The state machines that count, in the order in which they are used, and the window's flag as each of their PIOs knows it: its own,
 * its lower neighbour's, its higher neighbour's. */
static const struct {
    PIO pio;
    unsigned machine, flag;
} places[COUNTED_MAX] = {
    {pio1, 0, WINDOW_FLAG},
    {pio1, 1, WINDOW_FLAG},
    {pio1, 2, WINDOW_FLAG},
    {pio2, 0, PIO_SM0_EXECCTRL_STATUS_N_VALUE_IRQ_PREVPIO | WINDOW_FLAG},
    {pio2, 1, PIO_SM0_EXECCTRL_STATUS_N_VALUE_IRQ_PREVPIO | WINDOW_FLAG},
    {pio2, 2, PIO_SM0_EXECCTRL_STATUS_N_VALUE_IRQ_PREVPIO | WINDOW_FLAG},
    {pio2, 3, PIO_SM0_EXECCTRL_STATUS_N_VALUE_IRQ_PREVPIO | WINDOW_FLAG},
    {pio0, MACHINE_COUNTER, PIO_SM0_EXECCTRL_STATUS_N_VALUE_IRQ_NEXTPIO | WINDOW_FLAG},
};

uint8_t counter_pin(uint8_t fpga_pin)
{
    static const uint8_t leads_to[][2] = {
        {9, PIN_ICE_9},   {11, PIN_ICE_11}, {18, PIN_ICE_18}, {19, PIN_ICE_19}, {20, PIN_ICE_20},
        {21, PIN_ICE_21}, {23, PIN_ICE_23}, {25, PIN_ICE_25}, {26, PIN_ICE_26}, {27, PIN_ICE_27},
    };
    for (unsigned i = 0; i < sizeof leads_to / sizeof *leads_to; i++)
        if (leads_to[i][0] == fpga_pin)
            return leads_to[i][1];
    return PIN_ICE_27; /* applications have checked it */
}

static void let_go_of_all(void)
{
    static const uint8_t pins[] = {PIN_ICE_9,  PIN_ICE_11, PIN_ICE_18, PIN_ICE_19, PIN_ICE_20,
                                   PIN_ICE_21, PIN_ICE_23, PIN_ICE_25, PIN_ICE_26, PIN_ICE_27};
    for (unsigned i = 0; i < sizeof pins; i++)
        pad_let_go(pins[i]);
}

void counter_init(struct counter *counter)
{
    for (unsigned i = 0; i < COUNTED_MAX; i++) {
        bool as_before = i > 0 && places[i].pio == places[i - 1].pio;
        counter->offsets[i] = as_before ? counter->offsets[i - 1] : (unsigned)pio_add_program(places[i].pio, &counter_program);
    }
    counter->window_offset = (unsigned)pio_add_program(WINDOW_PIO, &window_program);
    let_go_of_all();
    counter_stop(counter);
}

/* What was counted stays in the state machines. */
static void close_window(struct counter *counter)
{
    pio_sm_set_enabled(WINDOW_PIO, MACHINE_WINDOW, false);
    for (unsigned i = 0; i < counter->n; i++)
        pio_sm_set_enabled(places[i].pio, places[i].machine, false);
    pio_interrupt_clear(WINDOW_PIO, WINDOW_FLAG);
    for (unsigned i = 0; i < counter->n; i++)
        pad_let_go(counter->pins[i]);
    counter->counting = false;
}

void counter_stop(struct counter *counter)
{
    close_window(counter);
    counter->n = 0;
}

static void start_machine(const struct counter *counter, unsigned i)
{
    pio_sm_config config = counter_program_get_default_config(counter->offsets[i]);
    sm_config_set_in_pins(&config, counter->pins[i]);
    sm_config_set_mov_status(&config, STATUS_IRQ_SET, places[i].flag);
    pio_sm_init(places[i].pio, places[i].machine, counter->offsets[i], &config);
    pio_sm_exec(places[i].pio, places[i].machine, pio_encode_mov_not(pio_x, pio_null));
    pio_sm_set_enabled(places[i].pio, places[i].machine, true);
}

static void open_window(const struct counter *counter)
{
    pio_sm_config config = window_program_get_default_config(counter->window_offset);
    sm_config_set_clkdiv_int_frac8(&config, timing_window_divider(clock_get_hz(clk_sys)), 0);
    pio_sm_init(WINDOW_PIO, MACHINE_WINDOW, counter->window_offset, &config);
    pio_sm_put(WINDOW_PIO, MACHINE_WINDOW, timing_window_ticks(counter->window_us));
    pio_sm_set_enabled(WINDOW_PIO, MACHINE_WINDOW, true);
}

void counter_start(struct counter *counter, const uint8_t *fpga_pins, uint8_t n, uint32_t window_us)
{
    counter_stop(counter);
    counter->n = n;
    for (unsigned i = 0; i < n; i++) {
        counter->pins[i] = counter_pin(fpga_pins[i]);
        pad_listen(counter->pins[i]); /* it rises, if nobody drives it, before the window opens */
        start_machine(counter, i);
    }
    counter->window_us = window_us;
    counter->counting = true;
    open_window(counter); /* last: all counters see it open, and close, in one cycle */
}

/* X counted down from all ones. */
static uint32_t counted(unsigned i)
{
    pio_sm_exec(places[i].pio, places[i].machine, pio_encode_mov_not(pio_isr, pio_x));
    pio_sm_exec(places[i].pio, places[i].machine, pio_encode_push(false, false));
    return pio_sm_get(places[i].pio, places[i].machine);
}

bool counter_read(struct counter *counter, uint32_t *pulses, uint32_t *window_us)
{
    if (!counter->counting || pio_sm_is_rx_fifo_empty(WINDOW_PIO, MACHINE_WINDOW))
        return false;
    close_window(counter);
    for (unsigned i = 0; i < counter->n; i++)
        pulses[i] = counted(i);
    *window_us = counter->window_us;
    return true;
}
