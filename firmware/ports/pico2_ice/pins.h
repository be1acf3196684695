/* Where the RP2350B is connected to. Source: the netlist of Board/Rev2 (pico2-ice.d356) and its schematic; docs/hardware.md has
 * the table with package pins. */
#ifndef PINS_H
#define PINS_H

enum {
    /* The RGB LED beside the RP2350, each colour lit by a low level. */
    PIN_LED_GREEN = 0,
    PIN_LED_RED = 1,
    PIN_LED_BLUE = 9,

    /* The FPGA's configuration port: it takes the bitstream at its pin SI. */
    PIN_CRAM_SI = 4,
    PIN_CRAM_SS = 5,
    PIN_CRAM_SCK = 6,
    PIN_CRESET = 31,
    PIN_CDONE = 40, /* and ADC0 */
    CDONE_CHANNEL = 0,

    /* By the FPGA's pins. */
    PIN_ICE_27 = 20, /* what pulse_count counts */
    PIN_ICE_20 = 22, /* behind R34 */
    PIN_ICE_19 = 23,
    PIN_ICE_26 = 24,
    PIN_ICE_23 = 25,
    PIN_ICE_21 = 26,
    PIN_ICE_18 = 27,
    PIN_ICE_9 = 28,
    PIN_ICE_11 = 29,
    PIN_ICE_25 = 30,
    PIN_FPGA_CLOCK = 21, /* ICE_35, a global buffer's input */
    PIN_UART_TX = PIN_ICE_9, /* which is the FPGA's input */
    PIN_UART_RX = PIN_ICE_11,

    /* A through-hole beside the FPGA's: the ADC of an RP2350B does not reach the pins that the FPGA shares. */
    PIN_ANALOG = 41,
    ANALOG_CHANNEL = 1,
};

#endif
