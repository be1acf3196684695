#include "cram.h"

#include "channels.h"
#include "cram.pio.h"
#include "hardware/adc.h"
#include "hardware/clocks.h"
#include "hardware/dma.h"
#include "hardware/gpio.h"
#include "hardware/pio.h"
#include "machines.h"
#include "pads.h"
#include "pins.h"
#include "timing.h"

/* Limits are those of FPGA-TN-02001 (once TN1248), by the names that the iCE40 UltraPlus data sheet (FPGA-DS-02008) has for them. */
enum {
    RESET_US = 2, /* tCRESET_B: at least 0.2 */
    CLEAR_US = 1300, /* tCR_SCK: at least 1200 */
    ALERT_BYTES = 1, /* 8 clocks */
    WAKE_CLOCKS = 100, /* within which CDONE rises */
    FINISH_CLOCKS = 49, /* tDONE_IO: from CDONE to pins that are the circuit's, from rising edge to rising edge */
    CDONE_HIGH = 1490, /* 1.2 V, of 3.3 V and 12 bits */
};

#define STALLED (1u << (PIO_FDEBUG_TXSTALL_LSB + MACHINE_CRAM))

static const uint8_t zeros[ALERT_BYTES];

/* `bits` of each word are sent. */
static pio_sm_config sender(const struct cram *cram, unsigned bits)
{
    pio_sm_config config = cram_program_get_default_config(cram->offset);
    sm_config_set_out_pins(&config, PIN_CRAM_SI, 1);
    sm_config_set_sideset_pins(&config, PIN_CRAM_SCK);
    sm_config_set_out_shift(&config, false, true, bits);
    sm_config_set_fifo_join(&config, PIO_FIFO_JOIN_TX);
    sm_config_set_clkdiv_int_frac8(&config, cram->divider, 0);
    return config;
}

static pio_sm_config finisher(const struct cram *cram)
{
    pio_sm_config config = cram_finish_program_get_default_config(cram->finish_offset);
    sm_config_set_set_pins(&config, PIN_CRAM_SCK, 1);
    sm_config_set_sideset_pins(&config, PIN_CRAM_SCK);
    sm_config_set_clkdiv_int_frac8(&config, cram->divider, 0);
    return config;
}

/* The clock goes on resting high while another program, or the same one with other bits, takes over. */
static void run(unsigned offset, const pio_sm_config *config)
{
    pio_sm_set_enabled(MACHINES_PIO, MACHINE_CRAM, false);
    pio_sm_init(MACHINES_PIO, MACHINE_CRAM, offset, config);
    pio_sm_set_enabled(MACHINES_PIO, MACHINE_CRAM, true);
}

/* The port's pins belong to the circuit once it runs; nothing drives them while the FPGA is in reset. */
static void let_go(void)
{
    pad_let_go(PIN_CRAM_SI);
    pad_let_go(PIN_CRAM_SCK);
    pad_let_go(PIN_CRAM_SS);
    gpio_pull_up(PIN_CRAM_SS); /* the FPGA's flash shares it, and stays deselected */
}

/* A clock with levels of 20 ns wants edges that are short beside that: 8 mA and the fast slew, damped by R9 (27 Ohm). Data has 20 ns to
 * settle, and the others have microseconds: 4 mA and the slow slew, which the RP2350 has after a reset, for little ringing. */
static void choose_edges(void)
{
    gpio_set_drive_strength(PIN_CRAM_SCK, GPIO_DRIVE_STRENGTH_8MA);
    gpio_set_slew_rate(PIN_CRAM_SCK, GPIO_SLEW_RATE_FAST);
    static const uint8_t calm[] = {PIN_CRAM_SI, PIN_CRAM_SS, PIN_CRESET};
    for (unsigned i = 0; i < sizeof calm; i++) {
        gpio_set_drive_strength(calm[i], GPIO_DRIVE_STRENGTH_4MA);
        gpio_set_slew_rate(calm[i], GPIO_SLEW_RATE_SLOW);
    }
}

static void take_hold(const struct cram *cram)
{
    pio_sm_config config = sender(cram, 8);
    const uint32_t clock = 1u << PIN_CRAM_SCK, both = clock | 1u << PIN_CRAM_SI;
    gpio_put(PIN_CRAM_SS, 0); /* low as CRESET rises: a slave, which does not read its flash */
    gpio_set_dir(PIN_CRAM_SS, true);
    pio_sm_set_enabled(MACHINES_PIO, MACHINE_CRAM, false);
    pio_sm_init(MACHINES_PIO, MACHINE_CRAM, cram->offset, &config);
    pio_sm_set_pins_with_mask(MACHINES_PIO, MACHINE_CRAM, clock, both);
    pio_sm_set_pindirs_with_mask(MACHINES_PIO, MACHINE_CRAM, both, both);
    pio_gpio_init(MACHINES_PIO, PIN_CRAM_SCK);
    pio_gpio_init(MACHINES_PIO, PIN_CRAM_SI);
    pio_sm_set_enabled(MACHINES_PIO, MACHINE_CRAM, true);
}

static void quiet(struct cram *cram)
{
    channel_stop(cram->dma);
    pio_sm_set_enabled(MACHINES_PIO, MACHINE_CRAM, false);
    let_go();
}

void cram_init(struct cram *cram)
{
    cram->offset = (unsigned)pio_add_program(MACHINES_PIO, &cram_program);
    cram->finish_offset = (unsigned)pio_add_program(MACHINES_PIO, &cram_finish_program);
    cram->dma = (unsigned)dma_claim_unused_channel(true);
    adc_gpio_init(PIN_CDONE);
    gpio_init(PIN_CRESET);
    choose_edges();
    cram_hold(cram);
    gpio_set_dir(PIN_CRESET, true);
}

void cram_hold(struct cram *cram)
{
    gpio_put(PIN_CRESET, 0);
    quiet(cram);
    cram->phase = CRAM_HELD;
}

void cram_start(struct cram *cram, const uint8_t *bytes, size_t n, uint32_t slower, uint64_t now_us)
{
    cram_hold(cram);
    cram->divider = timing_cram_divider(clock_get_hz(clk_sys)) * slower;
    cram->bytes = bytes;
    cram->n = n;
    take_hold(cram);
    cram->phase = CRAM_RESETTING;
    cram->until_us = now_us + RESET_US + 1; /* the microsecond that has begun does not count */
}

static void send(struct cram *cram, enum cram_phase phase, const uint8_t *bytes, size_t n)
{
    dma_channel_config config = dma_channel_get_default_config(cram->dma);
    channel_config_set_transfer_data_size(&config, DMA_SIZE_8);
    channel_config_set_read_increment(&config, true);
    channel_config_set_write_increment(&config, false);
    channel_config_set_dreq(&config, pio_get_dreq(MACHINES_PIO, MACHINE_CRAM, true));
    cram->phase = phase;
    cram->draining = false;
    dma_channel_configure(cram->dma, &config, &MACHINES_PIO->txf[MACHINE_CRAM], bytes, (uint32_t)n, true);
}

/* Whether the last bit has left: the state machine has stalled since its queue was found empty. */
static bool sent(struct cram *cram)
{
    if (dma_channel_is_busy(cram->dma) || !pio_sm_is_tx_fifo_empty(MACHINES_PIO, MACHINE_CRAM))
        return false;
    if (!cram->draining) {
        MACHINES_PIO->fdebug = STALLED; /* clears it */
        cram->draining = true;
        return false;
    }
    return (MACHINES_PIO->fdebug & STALLED) != 0;
}

/* On this board a LED without a resistor of its own goes from CDONE to ground (D3, beside R14 of 2.2 kOhm to 3.3 V), so that a high
 * level is the LED's 1.8 to 2.0 V. The RP2350 promises to take as high what is 2.0 V or more, so this is not left to a digital
 * input; low is 0.4 V at most. Takes 2 microseconds. */
static bool cdone_is_high(void)
{
    adc_select_input(CDONE_CHANNEL);
    return adc_read() >= CDONE_HIGH;
}

static void fail(struct cram *cram, enum cram_phase why)
{
    cram_hold(cram);
    cram->phase = why;
}

/* CDONE that is high before a bit was sent is no witness of what comes. */
static void cleared(struct cram *cram)
{
    if (cdone_is_high()) {
        fail(cram, CRAM_STUCK);
        return;
    }
    gpio_put(PIN_CRAM_SS, 1);
    send(cram, CRAM_ALERTING, zeros, ALERT_BYTES);
}

/* One clock after another, since the pins are the circuit's soon after CDONE. */
static void look_for_done(struct cram *cram)
{
    if (cdone_is_high()) {
        pad_let_go(PIN_CRAM_SI); /* what is sent from here on has no meaning */
        pad_let_go(PIN_CRAM_SS);
        gpio_pull_up(PIN_CRAM_SS);
        pio_sm_config config = finisher(cram);
        run(cram->finish_offset, &config);
        pio_sm_put(MACHINES_PIO, MACHINE_CRAM, FINISH_CLOCKS);
        cram->phase = CRAM_FINISHING;
    } else if (cram->wake_clocks == WAKE_CLOCKS) {
        fail(cram, CRAM_FAILED);
    } else {
        cram->wake_clocks++;
        cram->draining = false;
        pio_sm_put(MACHINES_PIO, MACHINE_CRAM, 0);
    }
}

static void after_clocks(struct cram *cram)
{
    if (cram->phase == CRAM_ALERTING) {
        gpio_put(PIN_CRAM_SS, 0);
        send(cram, CRAM_SENDING, cram->bytes, cram->n);
        return;
    }
    if (cram->phase == CRAM_SENDING) {
        pio_sm_config config = sender(cram, 1);
        gpio_put(PIN_CRAM_SS, 1);
        run(cram->offset, &config);
        cram->phase = CRAM_WAKING;
        cram->wake_clocks = 0;
    }
    look_for_done(cram);
}

/* The state machine has let go of the clock itself, on the last edge; this comes when it comes. */
static void finished(struct cram *cram)
{
    quiet(cram);
    cram->phase = CRAM_RUNNING;
    if (!cdone_is_high())
        fail(cram, CRAM_FAILED);
}

enum load_state cram_poll(struct cram *cram, uint64_t now_us)
{
    if (cram->phase == CRAM_RESETTING && now_us >= cram->until_us) {
        gpio_put(PIN_CRESET, 1);
        cram->phase = CRAM_CLEARING;
        cram->until_us = now_us + CLEAR_US + 1;
    } else if (cram->phase == CRAM_CLEARING && now_us >= cram->until_us) {
        cleared(cram);
    } else if (cram->phase >= CRAM_ALERTING && cram->phase <= CRAM_WAKING && sent(cram)) {
        after_clocks(cram);
    } else if (cram->phase == CRAM_FINISHING && !pio_sm_is_rx_fifo_empty(MACHINES_PIO, MACHINE_CRAM)) {
        finished(cram);
    }
    if (cram->phase == CRAM_RUNNING)
        return LOAD_DONE;
    if (cram->phase == CRAM_STUCK)
        return LOAD_STUCK;
    return cram->phase == CRAM_FAILED ? LOAD_FAILED : LOAD_BUSY;
}
