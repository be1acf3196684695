#include "channels.h"

#include <stdbool.h>

#include "hardware/dma.h"

/* A channel that is enabled may start again as it is aborted (erratum RP2350-E5). */
void channel_stop(unsigned channel)
{
    dma_channel_config config = dma_get_channel_config(channel);
    channel_config_set_enable(&config, false);
    dma_channel_set_config(channel, &config, false);
    dma_channel_abort(channel);
}
