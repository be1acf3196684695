/* What the core asks of the hardware: all that a port has to provide. None of these waits. */
#ifndef PORT_H
#define PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The port's own; the core hands it back and never looks inside. */
struct port;

enum load_state { LOAD_BUSY, LOAD_DONE, LOAD_FAILED };

/* Microseconds since the firmware started. */
uint64_t port_now_us(struct port *port);

/* Hand bytes to USB; returns how many were taken, possibly none. */
size_t port_tx(struct port *port, const uint8_t *bytes, size_t n);

/* Begin to configure the FPGA. The bytes stay as they are until the load is over or port_stop is called. */
void port_load_start(struct port *port, const uint8_t *bitstream, size_t n);
enum load_state port_load_state(struct port *port);

/* Count rising edges for a window; port_count_read gives the count, and the window as measured, once it is over. */
void port_count_start(struct port *port, uint32_t window_us);
bool port_count_read(struct port *port, uint32_t *pulses, uint32_t *window_us);

/* Give up whatever load or count goes on, and hold the FPGA in reset. */
void port_stop(struct port *port);

/* Hundredths of a degree Celsius. */
int16_t port_temperature(struct port *port);

/* 16 upper-case hexadecimal digits. */
const char *port_serial(struct port *port);

/* Leave the bus and start again, in the boot loader or with the application. May return; the core then does nothing more. */
void port_reboot(struct port *port, bool to_loader);

#endif
