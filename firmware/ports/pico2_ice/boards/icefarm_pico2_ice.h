/* The pico2-ice, for the pico-sdk: an RP2350B with a 12 MHz crystal and 4 MB of flash. The assembler reads this as well.
 * Sources: github.com/tinyvision-ai-inc/pico2-ice, Board/Rev2; docs/hardware.md. */
#ifndef ICEFARM_PICO2_ICE_H
#define ICEFARM_PICO2_ICE_H

pico_board_cmake_set(PICO_PLATFORM, rp2350)

/* The B of RP2350B: 48 GPIOs, and the ADC at GPIO40 to 47. */
#define PICO_RP2350A 0

pico_board_cmake_set_default(PICO_FLASH_SIZE_BYTES, (4 * 1024 * 1024))
#ifndef PICO_FLASH_SIZE_BYTES
#define PICO_FLASH_SIZE_BYTES (4 * 1024 * 1024)
#endif
#define PICO_BOOT_STAGE2_CHOOSE_W25Q080 1
#ifndef PICO_FLASH_SPI_CLKDIV
#define PICO_FLASH_SPI_CLKDIV 2
#endif

/* As the board's own SDK has it: some crystals take long to start. */
#ifndef PICO_XOSC_STARTUP_DELAY_MULTIPLIER
#define PICO_XOSC_STARTUP_DELAY_MULTIPLIER 64
#endif

pico_board_cmake_set_default(PICO_RP2350_A2_SUPPORTED, 1)
#ifndef PICO_RP2350_A2_SUPPORTED
#define PICO_RP2350_A2_SUPPORTED 1
#endif

#endif
