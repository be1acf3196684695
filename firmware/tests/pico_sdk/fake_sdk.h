/* As much of the pico-sdk and of TinyUSB as the port calls, for tests on the PC: it keeps what was set, and writes down each call
 * that the world outside the RP2350 would notice. Tests play that world by hand. */
#ifndef FAKE_SDK_H
#define FAKE_SDK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef unsigned int uint;

/* What tests see and set. */
enum {
    FAKE_LOG = 4096,
    FAKE_LINE = 64,
    FAKE_PINS = 48,
    FAKE_QUEUE = 8,
    FAKE_PIOS = 3,
    FAKE_MACHINES = 4,
    FAKE_CHANNELS = 16,
    FAKE_BYTES = 1 << 18
};

struct fake_pin {
    bool level, out, input, pull_up, pull_down;
    int function, drive, slew;
};

struct fake_machine {
    bool enabled;
    uint32_t divider, in_pin, out_pin, side_pin, set_pin, bits, flag;
    const char *name;
    uint32_t tx[FAKE_QUEUE], rx[FAKE_QUEUE];
    uint n_tx, n_rx;
    uint executed[FAKE_QUEUE], n_executed;
};

struct fake_channel {
    bool busy;
    const volatile void *from;
    volatile void *to;
    uint32_t n, size, dreq;
    bool from_moves, to_moves, enabled;
};

struct fake {
    char log[FAKE_LOG][FAKE_LINE];
    int lines;
    uint64_t now_us;
    struct fake_pin pins[FAKE_PINS];
    struct fake_machine machines[FAKE_PIOS * FAKE_MACHINES]; /* those of PIO 0 first */
    struct fake_channel channels[FAKE_CHANNELS];
    int n_channels, n_instructions;
    uint8_t sent[FAKE_BYTES]; /* to the FPGA, by DMA channels that were finished */
    size_t n_sent;
    /* Clocks of the configuration port after the bitstream; after how many of them CDONE rises (0: it never does); and how many came
     * after that. */
    uint clocks, cdone_after, clocks_since_done;
    uint16_t adc;
    uint adc_input, adc_reads, adc_converting, watchdog_updates, tud_tasks;
    bool adc_fifo;
    uint8_t from_host[FAKE_BYTES], to_host[FAKE_BYTES];
    size_t n_from_host, read_from_host, n_to_host, tx_room;
    bool usb_ready, irq_enabled;
    bool usb_deaf; /* no packet is asked for: the queue was full as the bus fell asleep */
    void (*handler)(void);
    uint8_t uart_in[FAKE_BYTES], uart_out[FAKE_BYTES];
    size_t uart_overrun_at; /* the byte that carries the flag; 0: none */
    size_t n_uart_in, uart_in_read, n_uart_out, uart_room;
};

extern struct fake fake;

void fake_start(void);
/* Where in the log that line is for the first time at or after `from`, or -1. */
int fake_line(const char *text, int from);
/* All that the channel had to carry is there; what it carried to the FPGA is in `sent`. */
void fake_dma_finish(uint channel);
/* The configuration port's state machine sends what is in its queue; the FPGA takes it. */
void fake_clock_out(void);

/* hardware/gpio.h */
enum { GPIO_FUNC_NONE, GPIO_FUNC_SIO, GPIO_FUNC_PIO, GPIO_FUNC_UART, GPIO_FUNC_CLOCK, GPIO_FUNC_ANALOG };
void gpio_init(uint pin);
void gpio_put(uint pin, bool level);
void gpio_set_dir(uint pin, bool out);
void gpio_pull_up(uint pin);
void gpio_pull_down(uint pin);
void gpio_set_input_enabled(uint pin, bool enabled);
void gpio_disable_pulls(uint pin);
enum {
    GPIO_SLEW_RATE_SLOW,
    GPIO_SLEW_RATE_FAST,
    GPIO_DRIVE_STRENGTH_2MA = 0,
    GPIO_DRIVE_STRENGTH_4MA,
    GPIO_DRIVE_STRENGTH_8MA
};
void gpio_set_drive_strength(uint pin, int drive);
void gpio_set_slew_rate(uint pin, int slew);
void gpio_set_function(uint pin, int function);

/* hardware/clocks.h */
enum fake_clock { clk_gpout0, clk_sys, clk_usb };
enum { CLOCKS_CLK_GPOUT0_CTRL_AUXSRC_VALUE_CLK_USB = 7 };
uint32_t clock_get_hz(enum fake_clock clock);
void clock_stop(enum fake_clock clock);
void clock_gpio_init(uint pin, uint source, float divider);

/* hardware/pio.h */
typedef struct {
    volatile uint32_t fdebug;
    volatile uint32_t txf[FAKE_MACHINES];
    volatile uint32_t rxf[FAKE_MACHINES];
} pio_hw_t;
typedef pio_hw_t *PIO;
typedef struct {
    const char *name;
} pio_program_t;
typedef struct {
    uint32_t divider, in_pin, out_pin, side_pin, set_pin, bits, flag;
    const char *name;
} pio_sm_config;
enum pio_fifo_join { PIO_FIFO_JOIN_NONE, PIO_FIFO_JOIN_TX };
enum pio_src_dest { pio_x, pio_null, pio_isr };
enum pio_mov_status_type { STATUS_TX_LESSTHAN, STATUS_RX_LESSTHAN, STATUS_IRQ_SET };
enum {
    PIO_FDEBUG_TXSTALL_LSB = 24,
    PIO_SM0_EXECCTRL_STATUS_N_VALUE_IRQ_PREVPIO = 0x08,
    PIO_SM0_EXECCTRL_STATUS_N_VALUE_IRQ_NEXTPIO = 0x10,
};
extern pio_hw_t fake_pios[FAKE_PIOS];
#define fake_pio fake_pios[0]
#define pio0 (&fake_pios[0])
#define pio1 (&fake_pios[1])
#define pio2 (&fake_pios[2])
#define FAKE_PROGRAM(program)                                                          \
    static const pio_program_t program##_program __attribute__((unused)) = {#program}; \
    static inline pio_sm_config program##_program_get_default_config(uint offset)      \
    {                                                                                  \
        (void)offset;                                                                  \
        return (pio_sm_config){.divider = 1, .name = #program};                        \
    }
int pio_add_program(PIO pio, const pio_program_t *program);
void sm_config_set_out_pins(pio_sm_config *config, uint pin, uint n);
void sm_config_set_mov_status(pio_sm_config *config, enum pio_mov_status_type type, uint n);
void sm_config_set_set_pins(pio_sm_config *config, uint pin, uint n);
void sm_config_set_in_pins(pio_sm_config *config, uint pin);
void sm_config_set_sideset_pins(pio_sm_config *config, uint pin);
void sm_config_set_out_shift(pio_sm_config *config, bool right, bool automatic, uint threshold);
void sm_config_set_fifo_join(pio_sm_config *config, enum pio_fifo_join join);
void sm_config_set_clkdiv_int_frac8(pio_sm_config *config, uint32_t whole, uint8_t fraction);
int pio_sm_init(PIO pio, uint sm, uint offset, const pio_sm_config *config);
void pio_sm_set_pins_with_mask(PIO pio, uint sm, uint32_t levels, uint32_t mask);
void pio_sm_set_pindirs_with_mask(PIO pio, uint sm, uint32_t out, uint32_t mask);
void pio_gpio_init(PIO pio, uint pin);
void pio_sm_set_enabled(PIO pio, uint sm, bool enabled);
void pio_set_sm_mask_enabled(PIO pio, uint32_t mask, bool enabled);
void pio_enable_sm_mask_in_sync(PIO pio, uint32_t mask);
void pio_interrupt_clear(PIO pio, uint flag);
void pio_sm_put(PIO pio, uint sm, uint32_t word);
uint32_t pio_sm_get(PIO pio, uint sm);
bool pio_sm_is_rx_fifo_empty(PIO pio, uint sm);
bool pio_sm_is_tx_fifo_empty(PIO pio, uint sm);
void pio_sm_exec(PIO pio, uint sm, uint instruction);
uint pio_encode_mov_not(enum pio_src_dest to, enum pio_src_dest from);
uint pio_encode_push(bool if_full, bool block);
uint pio_get_dreq(PIO pio, uint sm, bool tx);

/* hardware/dma.h */
typedef struct {
    uint32_t size, dreq;
    bool from_moves, to_moves, enabled;
} dma_channel_config;
enum { DMA_SIZE_8 = 1, DMA_SIZE_16 = 2, DMA_SIZE_32 = 4, DREQ_ADC = 48 };
int dma_claim_unused_channel(bool required);
dma_channel_config dma_channel_get_default_config(uint channel);
dma_channel_config dma_get_channel_config(uint channel);
void dma_channel_set_config(uint channel, const dma_channel_config *config, bool start);
void channel_config_set_enable(dma_channel_config *config, bool enabled);
void channel_config_set_transfer_data_size(dma_channel_config *config, uint32_t size);
void channel_config_set_read_increment(dma_channel_config *config, bool moves);
void channel_config_set_write_increment(dma_channel_config *config, bool moves);
void channel_config_set_dreq(dma_channel_config *config, uint dreq);
void dma_channel_configure(uint channel, const dma_channel_config *config, volatile void *to, const volatile void *from,
                           uint32_t n, bool start);
bool dma_channel_is_busy(uint channel);
void dma_channel_abort(uint channel);

/* hardware/adc.h. Input 0 is CDONE: low is 0.4 V at most, high the 1.8 V of a LED at little current. The register's bits are those of the RP2350. */
typedef struct {
    volatile uint32_t cs;
    volatile uint32_t fifo;
} adc_hw_t;
extern adc_hw_t fake_adc;
adc_hw_t *fake_adc_look(void); /* a conversion that was started is over after some looks */
#define adc_hw fake_adc_look()
#define ADC_CS_EN_BITS 0x1u
#define ADC_CS_TS_EN_BITS 0x2u
#define ADC_CS_START_ONCE_BITS 0x4u
#define ADC_CS_READY_BITS 0x100u
#define ADC_CS_AINSEL_LSB 12
enum { ADC_TEMPERATURE_CHANNEL_NUM = 8, FAKE_LOW = 496, FAKE_LED = 2234 };
void adc_init(void);
void adc_gpio_init(uint pin);
void adc_set_temp_sensor_enabled(bool enabled);
void adc_select_input(uint input);
uint16_t adc_read(void);
void adc_fifo_setup(bool enabled, bool dreq, uint16_t threshold, bool errors, bool bytes);
void adc_fifo_drain(void);

/* hardware/uart.h, hardware/irq.h */
typedef int *uart_inst_t;
#define uart0 ((uart_inst_t)0)
enum { UART0_IRQ = 33 };
uint uart_init(uart_inst_t uart, uint baud);
void uart_deinit(uart_inst_t uart);
void uart_set_irqs_enabled(uart_inst_t uart, bool received, bool room);
bool uart_is_readable(uart_inst_t uart);
bool uart_is_writable(uart_inst_t uart);
typedef struct {
    uint32_t dr;
} uart_hw_t;
uart_hw_t *uart_get_hw(uart_inst_t uart); /* what is read of `dr` is taken: look at it once */
#define UART_UARTDR_OE_BITS 0x800u
void uart_putc_raw(uart_inst_t uart, char byte);
void irq_set_exclusive_handler(uint irq, void (*handler)(void));
void irq_set_enabled(uint irq, bool enabled);

/* hardware/watchdog.h, hardware/structs/, pico/ */
typedef struct {
    uint32_t reason, scratch[8];
} watchdog_hw_t;
typedef struct {
    uint32_t chip_reset;
} powman_hw_t;
extern watchdog_hw_t fake_watchdog;
extern powman_hw_t fake_powman;
#define watchdog_hw (&fake_watchdog)
#define powman_hw (&fake_powman)
#define POWMAN_CHIP_RESET_HAD_POR_BITS 0x00010000u
#define POWMAN_CHIP_RESET_HAD_BOR_BITS 0x00020000u
#define POWMAN_CHIP_RESET_HAD_RUN_LOW_BITS 0x00040000u
#define POWMAN_CHIP_RESET_HAD_GLITCH_DETECT_BITS 0x04000000u
bool watchdog_enable_caused_reboot(void);
void watchdog_enable(uint32_t ms, bool pause_on_debug);
void watchdog_update(void);
void watchdog_disable(void);
void watchdog_reboot(uint32_t pc, uint32_t sp, uint32_t ms);
void reset_usb_boot(uint32_t led_mask, uint32_t disabled);
uint64_t time_us_64(void);
void pico_get_unique_board_id_string(char *text, uint size);

/* tusb.h */
typedef struct {
    uint32_t bit_rate;
    uint8_t stop_bits, parity, data_bits;
} cdc_line_coding_t;
#define OPT_MODE_DEVICE 0x01
#define OPT_MODE_FULL_SPEED 0x100
bool tud_init(uint8_t port);
void tud_task(void);
bool tud_ready(void);
bool tud_disconnect(void);
uint32_t tud_cdc_available(void);
uint32_t tud_cdc_read(void *bytes, uint32_t room);
void tud_cdc_read_flush(void);
uint32_t tud_cdc_write_available(void);
uint32_t tud_cdc_write(const void *bytes, uint32_t n);
uint32_t tud_cdc_write_flush(void);
bool tud_cdc_write_clear(void);
const uint8_t *tud_descriptor_device_cb(void);
const uint8_t *tud_descriptor_configuration_cb(uint8_t index);
const uint16_t *tud_descriptor_string_cb(uint8_t index, uint16_t language);
void tud_cdc_line_state_cb(uint8_t port, bool dtr, bool rts);
void tud_cdc_line_coding_cb(uint8_t port, const cdc_line_coding_t *coding);
void tud_mount_cb(void);
void tud_umount_cb(void);
void tud_suspend_cb(bool may_wake_host);
void tud_resume_cb(void);

#endif
