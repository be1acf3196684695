/* Firmware images of virtual boards. They hold no code: their header says which application a board is to run. */
#ifndef IMAGE_H
#define IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    IMAGE_SIZE = 8192,
    IMAGE_TEXT = 32,
    UF2_BLOCK = 512,
    UF2_PAYLOAD = 256,
};

/* UF2 specification (microsoft/uf2) and the RP2350 datasheet, section 5.5. */
#define UF2_MAGIC_0 0x0a324655u
#define UF2_MAGIC_1 0x9e5d5157u
#define UF2_MAGIC_END 0x0ab16f30u
#define UF2_FLAG_FAMILY 0x00002000u
#define UF2_FLAG_NOT_MAIN_FLASH 0x00000001u
#define UF2_FAMILY_RP2350_ARM_S 0xe48bff59u
#define FLASH_ADDRESS 0x10000000u

/* What runs on a board; a blank or unknown image is not valid. */
struct image {
    bool valid;
    char app[IMAGE_TEXT];
    char version[IMAGE_TEXT];
};

void image_build(uint8_t out[IMAGE_SIZE], const char *app, const char *version);
struct image image_parse(const uint8_t bytes[IMAGE_SIZE]);

/* Block `number` of the image's UF2 file. */
void image_uf2_block(uint8_t out[UF2_BLOCK], const uint8_t image[IMAGE_SIZE], uint32_t number);

#endif
