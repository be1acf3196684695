/* The state machines of the three PIOs. Programs: PIO 0 has 24 of its 32 instructions, PIO 1 has 12, PIO 2 has 5. */
#ifndef MACHINES_H
#define MACHINES_H

/* Of PIO 0. */
enum { MACHINE_CRAM, MACHINE_COUNTER, MACHINE_SAMPLER = 3 };

/* Of PIO 1: counters, and the one that holds the window open. PIO 2 has four counters. */
enum { MACHINE_WINDOW = 3 };

/* The IRQ flag of PIO 1 that is set while a window is open: counter.pio. The other two PIOs look at it as that of a neighbour. */
enum { WINDOW_FLAG = 4 };

#define MACHINES_PIO pio0
#define WINDOW_PIO pio1

#endif
