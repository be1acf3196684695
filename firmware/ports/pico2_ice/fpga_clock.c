#include "fpga_clock.h"

#include "hardware/clocks.h"
#include "hardware/gpio.h"
#include "pads.h"
#include "pins.h"

static void drive(uint32_t mhz)
{
    enum { HZ_PER_MHZ = 1000000 };
    gpio_disable_pulls(PIN_FPGA_CLOCK);
    /* A whole divider, so that every period has the same length. */
    clock_gpio_init(PIN_FPGA_CLOCK, CLOCKS_CLK_GPOUT0_CTRL_AUXSRC_VALUE_CLK_USB,
                    (float)(clock_get_hz(clk_usb) / HZ_PER_MHZ / mhz));
}

/* A circuit may drive the pin then. The pull-down keeps one that nobody drives low: it can, with the input off. */
static void let_go(void)
{
    pad_let_go(PIN_FPGA_CLOCK);
    gpio_pull_down(PIN_FPGA_CLOCK);
    clock_stop(clk_gpout0);
}

static void apply(struct fpga_clock *clock, uint32_t mhz)
{
    clock->mhz = mhz;
    if (mhz == 0)
        let_go();
    else
        drive(mhz);
}

void fpga_clock_init(struct fpga_clock *clock, uint32_t mhz)
{
    apply(clock, mhz);
}

void fpga_clock_set(struct fpga_clock *clock, uint32_t mhz)
{
    if (mhz != clock->mhz)
        apply(clock, mhz);
}
