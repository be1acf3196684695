/* Samples the analog pin by DMA, paced by PIO; and reads the RP2350's thermometer, which is on the same ADC. */
#ifndef SAMPLER_H
#define SAMPLER_H

#include <stdbool.h>
#include <stdint.h>

struct sampler {
    unsigned offset, start_dma, sample_dma;
    uint32_t sys_hz, cycles;
    uint16_t n;
    bool sampling;
    int16_t temperature;
};

void sampler_init(struct sampler *sampler);
void sampler_start(struct sampler *sampler, uint32_t delay_us, uint32_t rate_hz, uint16_t *samples, uint16_t n);
bool sampler_done(struct sampler *sampler, uint32_t *window_us);
void sampler_stop(struct sampler *sampler);
/* Hundredths of a degree Celsius; while the ADC is sampling, as of before. Takes 2 microseconds. */
int16_t sampler_temperature(struct sampler *sampler);

#endif
