/* What the board's LED says: red, no host has configured USB; green, idle; blue, loading or measuring; magenta, the FPGA did not take
 * the last bitstream; dark, the firmware does not run (or has left for the boot loader). */
#ifndef LEDS_H
#define LEDS_H

#include <stdbool.h>

enum led { LED_RED = 1, LED_GREEN = 2, LED_BLUE = 4 };

/* The colours that are lit, or-ed. */
unsigned leds_colour(bool usb_ready, bool evaluating, bool load_failed);

void leds_init(void);
void leds_show(unsigned colour);

#endif
