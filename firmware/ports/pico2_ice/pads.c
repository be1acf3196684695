#include "pads.h"

#include "hardware/gpio.h"

void pad_let_go(unsigned pin)
{
    gpio_init(pin);
    gpio_disable_pulls(pin);
    gpio_set_input_enabled(pin, false);
}

void pad_listen(unsigned pin)
{
    gpio_pull_up(pin);
    gpio_set_input_enabled(pin, true);
}
