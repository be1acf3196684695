/* The boot ROM's drive: which blocks it takes, and when it is done. */
#include "check.h"
#include "le.h"
#include "rom.h"

enum { BLOCKS = IMAGE_SIZE / UF2_PAYLOAD };

static uint8_t image[IMAGE_SIZE], flash[IMAGE_SIZE], file[BLOCKS][UF2_BLOCK];
static struct rom rom;

static void start(void)
{
    image_build(image, "pulse_count", "9.8.7");
    for (uint32_t i = 0; i < BLOCKS; i++)
        image_uf2_block(file[i], image, i);
    memset(flash, 0xff, sizeof flash);
    rom_start(&rom);
}

static bool put(uint32_t number)
{
    return rom_write(&rom, flash, file[number], UF2_BLOCK);
}

static void an_image_written_whole_is_in_flash(void)
{
    start();
    CHECK(rom_write(&rom, flash, file[0], sizeof file));
    CHECK(memcmp(flash, image, sizeof image) == 0);
    struct image found = image_parse(flash);
    CHECK(found.valid && strcmp(found.app, "pulse_count") == 0 && strcmp(found.version, "9.8.7") == 0);
}

static void blocks_may_come_in_any_order_twice_and_byte_by_byte(void)
{
    start();
    for (uint32_t i = BLOCKS - 1; i > 0; i--) {
        CHECK(!put(i));
        CHECK(!put(i));
    }
    for (size_t i = 0; i + 1 < UF2_BLOCK; i++)
        CHECK(!rom_write(&rom, flash, &file[0][i], 1));
    CHECK(rom_write(&rom, flash, &file[0][UF2_BLOCK - 1], 1));
    CHECK(memcmp(flash, image, sizeof image) == 0);
}

static void blocks_that_are_not_for_this_board_do_not_count(void)
{
    static const struct {
        size_t place;
        uint32_t value;
    } wrong[] = {{0, 0},
                 {4, 0},
                 {8, 0},
                 {8, 0x2001},
                 {12, 0x20000000},
                 {12, FLASH_ADDRESS + 1},
                 {12, FLASH_ADDRESS + (4 << 20)},
                 {16, 255},
                 {20, BLOCKS},
                 {24, 0},
                 {24, FLASH_BLOCKS + 1},
                 {28, 0xe48bff56},
                 {508, 0}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        start();
        le_put32(file[5] + wrong[i].place, wrong[i].value);
        CHECK(!rom_write(&rom, flash, file[0], sizeof file));
        image_uf2_block(file[5], image, 5);
        CHECK(put(5));
    }
}

static void an_image_of_another_length_starts_afresh(void)
{
    start();
    for (uint32_t i = 0; i < BLOCKS; i++)
        le_put32(file[i] + 24, BLOCKS + 1);
    CHECK(!rom_write(&rom, flash, file[0], sizeof file));
    start();
    CHECK(rom_write(&rom, flash, file[0], sizeof file));
}

static void a_damaged_image_is_not_valid(void)
{
    start();
    for (size_t i = 0; i < IMAGE_SIZE; i++) {
        image[i] ^= 0x10;
        CHECK(!image_parse(image).valid);
        image[i] ^= 0x10;
    }
    CHECK(image_parse(image).valid);
}

int main(void)
{
    RUN(an_image_written_whole_is_in_flash);
    RUN(blocks_may_come_in_any_order_twice_and_byte_by_byte);
    RUN(blocks_that_are_not_for_this_board_do_not_count);
    RUN(an_image_of_another_length_starts_afresh);
    RUN(a_damaged_image_is_not_valid);
    return 0;
}
