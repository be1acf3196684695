/* Prints what the port to the pico2-ice tells of itself on USB; linked with that port, on the fake of its SDK. */
#include <stdio.h>

#include "app.h"
#include "board.h"
#include "fake_sdk.h"
#include "tusb.h"

struct port the_board;

static void print(const char *name, const uint8_t *bytes, size_t size)
{
    printf("%s ", name);
    while (size-- > 0)
        printf("%02x", *bytes++);
    printf("\n");
}

int main(void)
{
    const uint8_t *device, *configuration;
    fake_start();
    board_init(&the_board, &app_default);
    device = tud_descriptor_device_cb();
    configuration = tud_descriptor_configuration_cb(0);
    print("device", device, device[0]);
    print("configuration", configuration, (size_t)(configuration[2] | configuration[3] << 8));
    for (uint8_t i = 1; i < 5; i++) {
        const uint16_t *text = tud_descriptor_string_cb(i, 0x0409);
        printf("text%u ", i);
        for (int n = 1; n < (text[0] & 0xff) / 2; n++)
            putchar(text[n]);
        printf("\n");
    }
    return 0;
}
