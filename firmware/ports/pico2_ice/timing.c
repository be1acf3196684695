#include "timing.h"

enum { US_PER_S = 1000000 };

uint32_t timing_cram_divider(uint32_t sys_hz)
{
    uint32_t fastest = (uint32_t)CRAM_HZ_MAX * CRAM_CYCLES;
    return (sys_hz + fastest - 1) / fastest;
}

uint32_t timing_window_divider(uint32_t sys_hz)
{
    return sys_hz % WINDOW_TICK_HZ == 0 ? sys_hz / WINDOW_TICK_HZ : 0;
}

/* The flag is set for the ticks of its loop, one more than it is given, and for the one that clears it. */
uint32_t timing_window_ticks(uint32_t window_us)
{
    return window_us * (WINDOW_TICK_HZ / US_PER_S) - 2;
}

uint32_t timing_sample_cycles(uint32_t sys_hz, uint32_t rate_hz)
{
    return (sys_hz + rate_hz / 2) / rate_hz;
}

uint32_t timing_delay_cycles(uint32_t sys_hz, uint32_t delay_us)
{
    return sys_hz / US_PER_S * delay_us;
}

uint32_t timing_samples_us(uint32_t sys_hz, uint32_t cycles, uint16_t n)
{
    uint32_t cycles_per_us = sys_hz / US_PER_S;
    return (uint32_t)(((uint64_t)cycles * n + cycles_per_us / 2) / cycles_per_us);
}

int16_t timing_temperature(uint16_t reading)
{
    enum { REFERENCE_UV = 3300000, FULL_SCALE = 4096, AT_27_UV = 706000, UV_PER_DEGREE = 1721 };
    int32_t uv = (int32_t)((int64_t)reading * REFERENCE_UV / FULL_SCALE);
    int32_t hundredths = 2700 - (int32_t)((int64_t)(uv - AT_27_UV) * 100 / UV_PER_DEGREE);
    /* A broken sensor gives what no sensor can mean, and the self-test finds it. */
    if (hundredths > INT16_MAX)
        return INT16_MAX;
    return (int16_t)(hundredths < INT16_MIN ? INT16_MIN : hundredths);
}
