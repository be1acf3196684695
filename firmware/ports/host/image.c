#include "image.h"

#include <string.h>

#include "crc32.h"
#include "hash.h"
#include "le.h"

/* Places in the image; all after CHECKED is under the CRC-32. */
enum { MAGIC = 0, FORMAT = 8, LENGTH = 12, CHECK = 16, CHECKED = 20, TARGET = 20, APP = 32, VERSION = 64, FILL = 96 };
enum { TARGET_SIZE = 12, FORMAT_VERSION = 1 };

static const char magic[8] = "ICEFARM";
static const char target[TARGET_SIZE] = "virtual";

static void put_text(uint8_t *out, const char *text)
{
    size_t n = strlen(text);
    memcpy(out, text, n < IMAGE_TEXT ? n : IMAGE_TEXT - 1);
}

void image_build(uint8_t out[IMAGE_SIZE], const char *app, const char *version)
{
    memset(out, 0, IMAGE_SIZE);
    memcpy(out + MAGIC, magic, sizeof magic);
    le_put32(out + FORMAT, FORMAT_VERSION);
    le_put32(out + LENGTH, IMAGE_SIZE);
    memcpy(out + TARGET, target, sizeof target);
    put_text(out + APP, app);
    put_text(out + VERSION, version);
    /* Stands for the code, so that flashing takes more than one block, and a block lost or swapped is noticed. */
    for (size_t i = FILL; i < IMAGE_SIZE; i += 8)
        le_put64(out + i, hash_mix(i));
    le_put32(out + CHECK, crc32_update(0, out + CHECKED, IMAGE_SIZE - CHECKED));
}

struct image image_parse(const uint8_t bytes[IMAGE_SIZE])
{
    struct image image = {0};
    if (memcmp(bytes + MAGIC, magic, sizeof magic) != 0 || le_get32(bytes + FORMAT) != FORMAT_VERSION ||
        le_get32(bytes + LENGTH) != IMAGE_SIZE || memcmp(bytes + TARGET, target, sizeof target) != 0 ||
        le_get32(bytes + CHECK) != crc32_update(0, bytes + CHECKED, IMAGE_SIZE - CHECKED))
        return image;
    image.valid = true;
    memcpy(image.app, bytes + APP, IMAGE_TEXT - 1);
    memcpy(image.version, bytes + VERSION, IMAGE_TEXT - 1);
    return image;
}

void image_uf2_block(uint8_t out[UF2_BLOCK], const uint8_t image[IMAGE_SIZE], uint32_t number)
{
    memset(out, 0, UF2_BLOCK);
    le_put32(out, UF2_MAGIC_0);
    le_put32(out + 4, UF2_MAGIC_1);
    le_put32(out + 8, UF2_FLAG_FAMILY);
    le_put32(out + 12, FLASH_ADDRESS + number * UF2_PAYLOAD);
    le_put32(out + 16, UF2_PAYLOAD);
    le_put32(out + 20, number);
    le_put32(out + 24, IMAGE_SIZE / UF2_PAYLOAD);
    le_put32(out + 28, UF2_FAMILY_RP2350_ARM_S);
    memcpy(out + 32, image + (size_t)number * UF2_PAYLOAD, UF2_PAYLOAD);
    le_put32(out + UF2_BLOCK - 4, UF2_MAGIC_END);
}
