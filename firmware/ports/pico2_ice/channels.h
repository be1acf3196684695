/* Channels of the DMA. */
#ifndef CHANNELS_H
#define CHANNELS_H

/* End whatever the channel carries. */
void channel_stop(unsigned channel);

#endif
