#include "fake_sdk.h"

#include <stdarg.h>

#include "check.h"
#include "tusb_config.h"

struct fake fake;
pio_hw_t fake_pios[FAKE_PIOS];
adc_hw_t fake_adc;
watchdog_hw_t fake_watchdog;
powman_hw_t fake_powman;

void fake_start(void)
{
    memset(&fake, 0, sizeof fake);
    memset((void *)fake_pios, 0, sizeof fake_pios);
    fake.now_us = 1000;
    fake.usb_ready = true;
    fake.tx_room = fake.uart_room = SIZE_MAX;
    fake.adc = 876;
}

static void note(const char *format, ...)
{
    va_list arguments;
    CHECK(fake.lines < FAKE_LOG);
    va_start(arguments, format);
    vsnprintf(fake.log[fake.lines++], FAKE_LINE, format, arguments);
    va_end(arguments);
}

int fake_line(const char *text, int from)
{
    for (int i = from; i < fake.lines; i++)
        if (strcmp(fake.log[i], text) == 0)
            return i;
    return -1;
}

void fake_dma_finish(uint channel)
{
    struct fake_channel *c = &fake.channels[channel];
    CHECK(c->busy);
    c->busy = false;
    if (c->to != &fake_pio.txf[0])
        return;
    CHECK(c->size == DMA_SIZE_8 && c->from_moves && !c->to_moves && fake.machines[0].enabled);
    CHECK(fake.n_sent + c->n <= FAKE_BYTES);
    memcpy(fake.sent + fake.n_sent, (const void *)c->from, c->n);
    fake.n_sent += c->n;
}

enum { FAKE_CDONE = 40 };

static void clock_once(const struct fake_machine *m)
{
    struct fake_pin *cdone = &fake.pins[FAKE_CDONE];
    CHECK(m->enabled && fake.pins[m->side_pin].out); /* or the FPGA would not see it */
    fake.clocks++;
    fake.clocks_since_done += cdone->level;
    cdone->level |= fake.clocks == fake.cdone_after;
}

void fake_clock_out(void)
{
    struct fake_machine *m = &fake.machines[0];
    bool finishes = strcmp(m->name, "cram_finish") == 0;
    CHECK_EQUAL(m->n_tx, 1);
    for (uint i = 0; i < (finishes ? m->tx[0] + 1 : m->bits); i++)
        clock_once(m);
    m->n_tx = 0;
    if (finishes) {
        fake.pins[m->set_pin].out = false;
        m->rx[m->n_rx++] = 0;
    }
}

static struct fake_pin *pin_of(uint pin)
{
    CHECK(pin < FAKE_PINS);
    return &fake.pins[pin];
}

void gpio_init(uint pin)
{
    struct fake_pin *p = pin_of(pin);
    p->out = false;
    p->level = false;
    gpio_set_function(pin, GPIO_FUNC_SIO);
}

void gpio_put(uint pin, bool level)
{
    pin_of(pin)->level = level;
    note("pin %u %s", pin, level ? "high" : "low");
}

void gpio_set_dir(uint pin, bool out)
{
    pin_of(pin)->out = out;
}

void gpio_pull_up(uint pin)
{
    pin_of(pin)->pull_up = true;
    pin_of(pin)->pull_down = false;
}

void gpio_pull_down(uint pin)
{
    CHECK(!pin_of(pin)->input); /* RP2350-E9: it does not hold the pin */
    pin_of(pin)->pull_down = true;
    pin_of(pin)->pull_up = false;
}

void gpio_set_input_enabled(uint pin, bool enabled)
{
    CHECK(!enabled || !pin_of(pin)->pull_down);
    pin_of(pin)->input = enabled;
}

void gpio_disable_pulls(uint pin)
{
    pin_of(pin)->pull_up = pin_of(pin)->pull_down = false;
}

void gpio_set_drive_strength(uint pin, int drive)
{
    pin_of(pin)->drive = drive;
}

void gpio_set_slew_rate(uint pin, int slew)
{
    pin_of(pin)->slew = slew;
}

/* As the SDK does: it enables the input as well. */
void gpio_set_function(uint pin, int function)
{
    pin_of(pin)->input = true;
    pin_of(pin)->function = function;
}

uint32_t clock_get_hz(enum fake_clock clock)
{
    return clock == clk_sys ? 150000000 : 48000000;
}

void clock_gpio_init(uint pin, uint source, float divider)
{
    CHECK(source == CLOCKS_CLK_GPOUT0_CTRL_AUXSRC_VALUE_CLK_USB);
    CHECK(divider == 1 || divider == 2 || divider == 4 || divider == 8);
    gpio_set_function(pin, GPIO_FUNC_CLOCK);
    note("clock %u %.0f Hz", pin, 48000000 / (double)divider);
}

void clock_stop(enum fake_clock clock)
{
    CHECK_EQUAL(clock, clk_gpout0);
    note("no clock");
}

int pio_add_program(PIO pio, const pio_program_t *program)
{
    (void)pio;
    note("program %s", program->name);
    return fake.n_instructions++;
}

void sm_config_set_out_pins(pio_sm_config *config, uint pin, uint n)
{
    CHECK_EQUAL(n, 1);
    config->out_pin = pin;
}

void sm_config_set_mov_status(pio_sm_config *config, enum pio_mov_status_type type, uint n)
{
    CHECK(type == STATUS_IRQ_SET && n < 0x20);
    config->flag = n;
}

void sm_config_set_set_pins(pio_sm_config *config, uint pin, uint n)
{
    CHECK_EQUAL(n, 1);
    config->set_pin = pin;
}

void sm_config_set_in_pins(pio_sm_config *config, uint pin)
{
    config->in_pin = pin;
}

void sm_config_set_sideset_pins(pio_sm_config *config, uint pin)
{
    config->side_pin = pin;
}

void sm_config_set_out_shift(pio_sm_config *config, bool right, bool automatic, uint threshold)
{
    CHECK(!right && automatic && threshold <= 8); /* a byte that DMA writes is in the topmost 8 bits as well */
    config->bits = threshold;
}

void sm_config_set_fifo_join(pio_sm_config *config, enum pio_fifo_join join)
{
    (void)config;
    CHECK(join == PIO_FIFO_JOIN_TX);
}

void sm_config_set_clkdiv_int_frac8(pio_sm_config *config, uint32_t whole, uint8_t fraction)
{
    CHECK(whole >= 1 && fraction == 0);
    config->divider = whole;
}

static struct fake_machine *machine(PIO pio, uint sm)
{
    CHECK(sm < FAKE_MACHINES && pio >= fake_pios && pio < fake_pios + FAKE_PIOS);
    return &fake.machines[(pio - fake_pios) * FAKE_MACHINES + sm];
}

int pio_sm_init(PIO pio, uint sm, uint offset, const pio_sm_config *config)
{
    (void)offset;
    CHECK(!machine(pio, sm)->enabled);
    *machine(pio, sm) = (struct fake_machine){.divider = config->divider,
                                              .in_pin = config->in_pin,
                                              .out_pin = config->out_pin,
                                              .side_pin = config->side_pin,
                                              .set_pin = config->set_pin,
                                              .bits = config->bits,
                                              .flag = config->flag,
                                              .name = config->name};
    return 0;
}

static void masked(uint32_t levels, uint32_t mask, bool direction)
{
    for (uint pin = 0; pin < 32; pin++)
        if (mask >> pin & 1) {
            if (direction)
                fake.pins[pin].out = levels >> pin & 1;
            else
                fake.pins[pin].level = levels >> pin & 1;
        }
}

void pio_sm_set_pins_with_mask(PIO pio, uint sm, uint32_t levels, uint32_t mask)
{
    (void)pio;
    (void)sm;
    masked(levels, mask, false);
}

void pio_sm_set_pindirs_with_mask(PIO pio, uint sm, uint32_t out, uint32_t mask)
{
    (void)pio;
    (void)sm;
    masked(out, mask, true);
}

void pio_gpio_init(PIO pio, uint pin)
{
    (void)pio;
    gpio_set_function(pin, GPIO_FUNC_PIO);
}

void pio_sm_set_enabled(PIO pio, uint sm, bool enabled)
{
    machine(pio, sm)->enabled = enabled;
}

void pio_set_sm_mask_enabled(PIO pio, uint32_t mask, bool enabled)
{
    for (uint sm = 0; sm < FAKE_MACHINES; sm++)
        if (mask >> sm & 1)
            pio_sm_set_enabled(pio, sm, enabled);
}

void pio_enable_sm_mask_in_sync(PIO pio, uint32_t mask)
{
    pio_set_sm_mask_enabled(pio, mask, true);
    note("machines %u together", mask);
}

void pio_interrupt_clear(PIO pio, uint flag)
{
    (void)pio;
    note("flag %u clear", flag);
}

void pio_sm_put(PIO pio, uint sm, uint32_t word)
{
    CHECK(machine(pio, sm)->n_tx < 4);
    machine(pio, sm)->tx[machine(pio, sm)->n_tx++] = word;
}

uint32_t pio_sm_get(PIO pio, uint sm)
{
    struct fake_machine *m = machine(pio, sm);
    CHECK(m->n_rx > 0);
    return m->rx[--m->n_rx];
}

bool pio_sm_is_rx_fifo_empty(PIO pio, uint sm)
{
    return machine(pio, sm)->n_rx == 0;
}

bool pio_sm_is_tx_fifo_empty(PIO pio, uint sm)
{
    return machine(pio, sm)->n_tx == 0;
}

void pio_sm_exec(PIO pio, uint sm, uint instruction)
{
    struct fake_machine *m = machine(pio, sm);
    CHECK(m->n_executed < FAKE_QUEUE && !m->enabled);
    m->executed[m->n_executed++] = instruction;
}

uint pio_encode_mov_not(enum pio_src_dest to, enum pio_src_dest from)
{
    return 0x100 + (uint)to * 16 + (uint)from;
}

uint pio_encode_push(bool if_full, bool block)
{
    CHECK(!if_full && !block);
    return 0x200;
}

uint pio_get_dreq(PIO pio, uint sm, bool tx)
{
    (void)pio;
    return sm + (tx ? 0 : 4);
}

int dma_claim_unused_channel(bool required)
{
    CHECK(required);
    return fake.n_channels++;
}

dma_channel_config dma_channel_get_default_config(uint channel)
{
    (void)channel;
    return (dma_channel_config){.enabled = true};
}

dma_channel_config dma_get_channel_config(uint channel)
{
    const struct fake_channel *c = &fake.channels[channel];
    return (dma_channel_config){c->size, c->dreq, c->from_moves, c->to_moves, c->enabled};
}

void dma_channel_set_config(uint channel, const dma_channel_config *config, bool start)
{
    CHECK(!start);
    fake.channels[channel].enabled = config->enabled;
}

void channel_config_set_enable(dma_channel_config *config, bool enabled)
{
    config->enabled = enabled;
}

void channel_config_set_transfer_data_size(dma_channel_config *config, uint32_t size)
{
    config->size = size;
}

void channel_config_set_read_increment(dma_channel_config *config, bool moves)
{
    config->from_moves = moves;
}

void channel_config_set_write_increment(dma_channel_config *config, bool moves)
{
    config->to_moves = moves;
}

void channel_config_set_dreq(dma_channel_config *config, uint dreq)
{
    config->dreq = dreq;
}

void dma_channel_configure(uint channel, const dma_channel_config *config, volatile void *to, const volatile void *from,
                           uint32_t n, bool start)
{
    CHECK((int)channel < fake.n_channels && start && config->enabled && !fake.channels[channel].busy);
    for (uint sm = 0; sm < FAKE_MACHINES; sm++)
        CHECK(from != &fake_pio.rxf[sm] || fake.machines[sm].n_rx == 0); /* it would take what is old */
    fake.channels[channel] = (struct fake_channel){
        true, from, to, n, config->size, config->dreq, config->from_moves, config->to_moves, config->enabled};
    if (to == &fake_adc.cs)
        fake.adc_converting = 5;
    note("dma %u of %u", channel, n);
}

bool dma_channel_is_busy(uint channel)
{
    return fake.channels[channel].busy;
}

void dma_channel_abort(uint channel)
{
    CHECK((int)channel < fake.n_channels);
    CHECK(!fake.channels[channel].enabled); /* RP2350-E5: it might start again */
    fake.channels[channel].busy = false;
}

adc_hw_t *fake_adc_look(void)
{
    fake_adc.cs &= ~ADC_CS_READY_BITS;
    if (fake.adc_converting > 0)
        fake.adc_converting--;
    else
        fake_adc.cs |= ADC_CS_READY_BITS;
    return &fake_adc;
}

void adc_init(void)
{
    fake_adc.cs = ADC_CS_EN_BITS;
}

void adc_gpio_init(uint pin)
{
    CHECK(pin >= 40); /* those of an RP2350B */
    gpio_set_function(pin, GPIO_FUNC_ANALOG);
    pin_of(pin)->input = false;
}

void adc_set_temp_sensor_enabled(bool enabled)
{
    CHECK(enabled);
    fake_adc.cs |= ADC_CS_TS_EN_BITS;
}

void adc_select_input(uint input)
{
    fake.adc_input = input;
}

uint16_t adc_read(void)
{
    CHECK(!fake.adc_fifo); /* the reading would go astray, and one of the samples with it */
    CHECK(fake.adc_converting == 0); /* or it would get another one's result */
    if (fake.adc_input == 0) {
        CHECK(pin_of(40)->function == GPIO_FUNC_ANALOG);
        return pin_of(40)->level ? FAKE_LED : FAKE_LOW;
    }
    fake.adc_reads++;
    return fake.adc;
}

void adc_fifo_setup(bool enabled, bool dreq, uint16_t threshold, bool errors, bool bytes)
{
    CHECK(enabled == dreq && threshold == 1 && !errors && !bytes);
    fake.adc_fifo = enabled;
}

void adc_fifo_drain(void)
{
}

uint uart_init(uart_inst_t uart, uint baud)
{
    (void)uart;
    note("uart %u baud", baud);
    return baud;
}

void uart_deinit(uart_inst_t uart)
{
    (void)uart;
    note("uart closed");
}

void uart_set_irqs_enabled(uart_inst_t uart, bool received, bool room)
{
    (void)uart;
    CHECK(received && !room);
}

bool uart_is_readable(uart_inst_t uart)
{
    (void)uart;
    return fake.uart_in_read < fake.n_uart_in;
}

bool uart_is_writable(uart_inst_t uart)
{
    (void)uart;
    return fake.uart_room > 0;
}

uart_hw_t *uart_get_hw(uart_inst_t uart)
{
    static uart_hw_t hw;
    (void)uart;
    CHECK(fake.uart_in_read < fake.n_uart_in);
    hw.dr = fake.uart_in[fake.uart_in_read];
    if (fake.uart_overrun_at > 0 && fake.uart_in_read == fake.uart_overrun_at)
        hw.dr |= UART_UARTDR_OE_BITS;
    fake.uart_in_read++;
    return &hw;
}

void uart_putc_raw(uart_inst_t uart, char byte)
{
    (void)uart;
    CHECK(fake.uart_room > 0);
    if (fake.uart_room != SIZE_MAX)
        fake.uart_room--;
    fake.uart_out[fake.n_uart_out++] = (uint8_t)byte;
}

void irq_set_exclusive_handler(uint irq, void (*handler)(void))
{
    CHECK_EQUAL(irq, UART0_IRQ);
    fake.handler = handler;
}

void irq_set_enabled(uint irq, bool enabled)
{
    CHECK_EQUAL(irq, UART0_IRQ);
    fake.irq_enabled = enabled;
}

/* As the SDK tells its own timeouts from restarts that were asked for: by a word that lives through both. */
enum { FAKE_ENABLED = 0x6ab73121 };

bool watchdog_enable_caused_reboot(void)
{
    return fake_watchdog.reason != 0 && fake_watchdog.scratch[4] == FAKE_ENABLED;
}

void watchdog_enable(uint32_t ms, bool pause_on_debug)
{
    CHECK(pause_on_debug);
    fake_watchdog.scratch[4] = FAKE_ENABLED;
    note("watchdog %u ms", ms);
}

void watchdog_update(void)
{
    fake.watchdog_updates++;
}

void watchdog_disable(void)
{
    note("watchdog off");
}

void watchdog_reboot(uint32_t pc, uint32_t sp, uint32_t ms)
{
    CHECK(pc == 0 && sp == 0 && ms == 0);
    fake_watchdog.scratch[4] = 0;
    fake_watchdog.reason = 2;
    note("restart");
}

void reset_usb_boot(uint32_t led_mask, uint32_t disabled)
{
    CHECK(led_mask == 0 && disabled == 0);
    note("boot loader");
}

uint64_t time_us_64(void)
{
    return fake.now_us;
}

void pico_get_unique_board_id_string(char *text, uint size)
{
    snprintf(text, size, "%s", "0123456789ABCDEF");
}

bool tud_init(uint8_t port)
{
    note("usb %u", port);
    return true;
}

void tud_task(void)
{
    fake.tud_tasks++;
}

bool tud_ready(void)
{
    return fake.usb_ready;
}

bool tud_disconnect(void)
{
    note("usb left");
    return true;
}

uint32_t tud_cdc_available(void)
{
    return fake.usb_deaf ? 0 : (uint32_t)(fake.n_from_host - fake.read_from_host);
}

uint32_t tud_cdc_read(void *bytes, uint32_t room)
{
    uint32_t n = tud_cdc_available() < room ? tud_cdc_available() : room;
    memcpy(bytes, fake.from_host + fake.read_from_host, n);
    fake.read_from_host += n;
    return n;
}

void tud_cdc_read_flush(void)
{
    fake.read_from_host = fake.n_from_host;
    fake.usb_deaf = fake.usb_deaf && !fake.usb_ready; /* as TinyUSB: it asks for a packet again, if the bus is awake */
}

uint32_t tud_cdc_write_available(void)
{
    return fake.tx_room < CFG_TUD_CDC_TX_BUFSIZE ? (uint32_t)fake.tx_room : CFG_TUD_CDC_TX_BUFSIZE;
}

uint32_t tud_cdc_write(const void *bytes, uint32_t n)
{
    CHECK(n <= tud_cdc_write_available() && fake.n_to_host + n <= FAKE_BYTES);
    memcpy(fake.to_host + fake.n_to_host, bytes, n);
    fake.n_to_host += n;
    if (fake.tx_room != SIZE_MAX)
        fake.tx_room -= n;
    return n;
}

uint32_t tud_cdc_write_flush(void)
{
    return 0;
}

bool tud_cdc_write_clear(void)
{
    note("nothing more to send");
    return true;
}
