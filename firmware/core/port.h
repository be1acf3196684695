/* What the core asks of the hardware: all that a port has to provide. None of these waits. */
#ifndef PORT_H
#define PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The port's own; the core hands it back and never looks inside. */
struct port;

/* LOAD_STUCK: CDONE was high before a bit was sent, and so is no witness. */
enum load_state { LOAD_BUSY, LOAD_DONE, LOAD_FAILED, LOAD_STUCK };

/* Microseconds since the firmware started. */
uint64_t port_now_us(struct port *port);

/* Hand bytes to USB; returns how many were taken, possibly none. */
size_t port_tx(struct port *port, const uint8_t *bytes, size_t n);

/* Drive the FPGA's pin 35 with a clock of so many MHz: 6, 12, 24 or 48; 0: leave the pin alone. It stays so until the next call. The
 * port starts with CLOCK_DEFAULT_MHZ. The core calls this before each load, so that a circuit never sees its clock change. */
void port_clock(struct port *port, uint32_t mhz);

/* Begin to configure the FPGA. The configuration clock is as fast as the FPGA takes it, divided by `slower`, 1 to SLOWER_MAX. The bytes
 * stay as they are until the load is over or port_stop is called. */
void port_load_start(struct port *port, const uint8_t *bitstream, size_t n, uint8_t slower);
enum load_state port_load_state(struct port *port);

/* Count rising edges at n pins of the FPGA (1 to COUNTED_MAX different ones, of those that lead to the RP2350) during one window;
 * port_count_read gives the counts, in the order of the pins, and the window as measured, once it is over. */
void port_count_start(struct port *port, const uint8_t *pins, uint8_t n, uint32_t window_us);
bool port_count_read(struct port *port, uint32_t *pulses, uint32_t *window_us);

/* Sample the analog pin (ADC1): the first of n samples `delay_us` from now, then `rate_hz` a second, 0 to 4095 each. They are
 * written to `samples`, which stays as it is until all are there or port_stop is called. */
void port_sample_start(struct port *port, uint32_t delay_us, uint32_t rate_hz, uint16_t *samples, uint16_t n);
/* Whether all are there; then also the time from the first to one interval after the last, as measured. */
bool port_sample_done(struct port *port, uint32_t *window_us);

/* Where counts and samples since the last load come from, as RESULT says it (enum origin of protocol.h). */
uint16_t port_origin(struct port *port);
/* Why a count or sampling that was started will never end, in at most TEXT_MAX characters, or NULL. The text stays until port_stop. */
const char *port_failure(struct port *port);

/* Connect to the FPGA's serial port: 8 data bits, no parity, 1 stop bit. Open until port_stop or the next load. */
void port_uart_start(struct port *port, uint32_t baud);
/* Send to the FPGA; returns how many bytes were taken, possibly none. None while it is not open. */
size_t port_uart_write(struct port *port, const uint8_t *bytes, size_t n);
/* Take what the FPGA has sent; returns how many bytes that were, possibly none. `lost`: how many more came before these, and
 * found no room; at least one where that is not known exactly. */
size_t port_uart_read(struct port *port, uint8_t *bytes, size_t room, uint32_t *lost);

/* Give up whatever load, count or sampling goes on, close the serial port, and hold the FPGA in reset. */
void port_stop(struct port *port);

/* Hundredths of a degree Celsius. */
int16_t port_temperature(struct port *port);

/* 16 upper-case hexadecimal digits. */
const char *port_serial(struct port *port);

/* Leave the bus and start again, in the boot loader or with the application. May return; the core then does nothing more. */
void port_reboot(struct port *port, bool to_loader);

#endif
