#include "sampler.h"

#include "channels.h"
#include "hardware/adc.h"
#include "hardware/clocks.h"
#include "hardware/dma.h"
#include "hardware/pio.h"
#include "machines.h"
#include "pins.h"
#include "sampler.pio.h"
#include "timing.h"

/* What starts one conversion of the analog pin, and keeps the thermometer's supply on. */
#define START (ADC_CS_EN_BITS | ADC_CS_TS_EN_BITS | ADC_CS_START_ONCE_BITS | (uint32_t)ANALOG_CHANNEL << ADC_CS_AINSEL_LSB)

void sampler_init(struct sampler *sampler)
{
    sampler->offset = (unsigned)pio_add_program(MACHINES_PIO, &sampler_program);
    sampler->start_dma = (unsigned)dma_claim_unused_channel(true);
    sampler->sample_dma = (unsigned)dma_claim_unused_channel(true);
    sampler->sys_hz = clock_get_hz(clk_sys);
    adc_init();
    adc_gpio_init(PIN_ANALOG);
    adc_set_temp_sensor_enabled(true);
    sampler_stop(sampler);
    sampler_temperature(sampler);
}

void sampler_stop(struct sampler *sampler)
{
    pio_sm_set_enabled(MACHINES_PIO, MACHINE_SAMPLER, false);
    channel_stop(sampler->start_dma);
    channel_stop(sampler->sample_dma);
    adc_fifo_setup(false, false, 1, false, false);
    /* A conversion that has begun takes 2 us more. The thermometer would take its result for its own. */
    while (!(adc_hw->cs & ADC_CS_READY_BITS))
        ;
    adc_fifo_drain();
    sampler->sampling = false;
}

/* From the state machine's queue to the ADC's control register: each word starts a conversion. */
static void start_conversions(const struct sampler *sampler)
{
    dma_channel_config config = dma_channel_get_default_config(sampler->start_dma);
    channel_config_set_transfer_data_size(&config, DMA_SIZE_32);
    channel_config_set_read_increment(&config, false);
    channel_config_set_write_increment(&config, false);
    channel_config_set_dreq(&config, pio_get_dreq(MACHINES_PIO, MACHINE_SAMPLER, false));
    dma_channel_configure(sampler->start_dma, &config, &adc_hw->cs, &MACHINES_PIO->rxf[MACHINE_SAMPLER], sampler->n, true);
}

static void keep_samples(const struct sampler *sampler, uint16_t *samples)
{
    dma_channel_config config = dma_channel_get_default_config(sampler->sample_dma);
    channel_config_set_transfer_data_size(&config, DMA_SIZE_16);
    channel_config_set_read_increment(&config, false);
    channel_config_set_write_increment(&config, true);
    channel_config_set_dreq(&config, DREQ_ADC);
    dma_channel_configure(sampler->sample_dma, &config, samples, &adc_hw->fifo, sampler->n, true);
}

void sampler_start(struct sampler *sampler, uint32_t delay_us, uint32_t rate_hz, uint16_t *samples, uint16_t n)
{
    pio_sm_config config = sampler_program_get_default_config(sampler->offset);
    sampler_stop(sampler);
    sampler->n = n;
    sampler->cycles = timing_sample_cycles(sampler->sys_hz, rate_hz);
    sampler->sampling = true;
    /* This empties its queue, before DMA looks there: the last sampling has left words in it. */
    pio_sm_init(MACHINES_PIO, MACHINE_SAMPLER, sampler->offset, &config);
    adc_fifo_setup(true, true, 1, false, false);
    keep_samples(sampler, samples);
    start_conversions(sampler);
    pio_sm_put(MACHINES_PIO, MACHINE_SAMPLER, timing_delay_cycles(sampler->sys_hz, delay_us));
    pio_sm_put(MACHINES_PIO, MACHINE_SAMPLER, sampler->cycles - PACER_CYCLES);
    pio_sm_put(MACHINES_PIO, MACHINE_SAMPLER, START);
    pio_sm_set_enabled(MACHINES_PIO, MACHINE_SAMPLER, true);
}

bool sampler_done(struct sampler *sampler, uint32_t *window_us)
{
    if (!sampler->sampling || dma_channel_is_busy(sampler->sample_dma))
        return false;
    sampler_stop(sampler);
    *window_us = timing_samples_us(sampler->sys_hz, sampler->cycles, sampler->n);
    return true;
}

int16_t sampler_temperature(struct sampler *sampler)
{
    if (!sampler->sampling) {
        adc_select_input(ADC_TEMPERATURE_CHANNEL_NUM);
        sampler->temperature = timing_temperature(adc_read());
    }
    return sampler->temperature;
}
