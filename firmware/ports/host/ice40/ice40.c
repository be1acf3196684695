#include "ice40.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "run.h"

_Static_assert((int)ICE40_TEXT == (int)NETLIST_TEXT && (int)ICE40_PINS_MAX == (int)PINS_MAX, "said in two places");

struct ice40 {
    struct design *design;
    struct run *run;
    double seconds;
};

struct ice40 *ice40_open(struct decoder *decoder, const uint8_t *bitstream, size_t n, const struct ice40_setup *setup,
                         char reason[ICE40_TEXT])
{
    struct ice40 *fpga = calloc(1, sizeof *fpga);
    if (fpga == NULL) {
        snprintf(reason, ICE40_TEXT, "there is no memory left");
        return NULL;
    }
    fpga->design = design_open(decoder, bitstream, n, setup->pins, setup->n_pins, setup->clock_hz, reason);
    if (fpga->design == NULL) {
        free(fpga);
        return NULL;
    }
    fpga->run = run_open(fpga->design, setup->work > 0 ? setup->work : ICE40_WORK);
    if (fpga->run == NULL) {
        snprintf(reason, ICE40_TEXT, "there is no memory left");
        ice40_close(fpga);
        return NULL;
    }
    return fpga;
}

void ice40_close(struct ice40 *fpga)
{
    if (fpga == NULL)
        return;
    run_close(fpga->run);
    design_close(fpga->design);
    free(fpga);
}

enum ice40_origin ice40_advance(struct ice40 *fpga, double seconds)
{
    fpga->seconds = seconds;
    switch (run_until(fpga->run, (uint64_t)rint(seconds * (double)fpga->design->ticks_per_second))) {
    case RUN_GOOD:
        return ICE40_SIMULATED;
    case RUN_SPENT:
        return ICE40_EXTRAPOLATED;
    default:
        return ICE40_FAILED;
    }
}

double ice40_pulses(const struct ice40 *fpga, uint32_t pin)
{
    const struct run *run = fpga->run;
    double pulses = (double)run->pulses[pin], simulated = (double)run->now / (double)fpga->design->ticks_per_second;
    if (run->state != RUN_SPENT || fpga->seconds <= simulated)
        return pulses;
    return pulses * fpga->seconds / simulated;
}

bool ice40_level(const struct ice40 *fpga, uint32_t pin)
{
    return fpga->run->values[fpga->design->netlist.pins[pin]];
}

const char *ice40_reason(const struct ice40 *fpga)
{
    return fpga->run->state == RUN_RESTLESS ? "flip-flops that clock or reset each other without end" : "";
}

double ice40_period(const struct ice40 *fpga)
{
    return (double)fpga->run->period.ticks / (double)fpga->design->ticks_per_second;
}

const struct design *ice40_design(const struct ice40 *fpga)
{
    return fpga->design;
}
