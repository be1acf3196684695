/* Pins of the RP2350 that the FPGA may drive. */
#ifndef PADS_H
#define PADS_H

/* High impedance: no output, no pull, and the input off, since an input that is on feeds a current into a pin that nobody drives
 * and holds it at 2 V or so (erratum RP2350-E9). */
void pad_let_go(unsigned pin);

/* An input. The pull-up is stronger than that current, so that a pin that nobody drives is high, and stays so. */
void pad_listen(unsigned pin);

#endif
