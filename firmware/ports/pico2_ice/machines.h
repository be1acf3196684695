/* The state machines of PIO 0; all programs together have 31 of its 32 instructions. */
#ifndef MACHINES_H
#define MACHINES_H

enum { MACHINE_CRAM, MACHINE_COUNTER, MACHINE_WINDOW, MACHINE_SAMPLER };

/* The IRQ flag that is set while a window is open: counter.pio. */
enum { WINDOW_FLAG = 4 };

#define MACHINES_PIO pio0

#endif
