#include "leds.h"

#include "hardware/gpio.h"
#include "pins.h"

static const struct {
    unsigned colour, pin;
} leds[] = {{LED_RED, PIN_LED_RED}, {LED_GREEN, PIN_LED_GREEN}, {LED_BLUE, PIN_LED_BLUE}};

enum { LEDS = sizeof leds / sizeof *leds };

unsigned leds_colour(bool usb_ready, bool evaluating, bool load_failed)
{
    if (!usb_ready)
        return LED_RED;
    if (evaluating)
        return LED_BLUE;
    return load_failed ? LED_RED | LED_BLUE : LED_GREEN;
}

/* The pins only ever pull down: a level of 3.3 V would not be enough to turn a LED off that is fed with more. */
void leds_init(void)
{
    for (unsigned i = 0; i < LEDS; i++) {
        gpio_init(leds[i].pin);
        gpio_disable_pulls(leds[i].pin);
        gpio_put(leds[i].pin, 0);
    }
}

void leds_show(unsigned colour)
{
    for (unsigned i = 0; i < LEDS; i++)
        gpio_set_dir(leds[i].pin, (colour & leds[i].colour) != 0);
}
