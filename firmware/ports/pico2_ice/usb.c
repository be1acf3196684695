/* What the host sees of the board on USB: its descriptors, and what it does with the port. */
#include <stddef.h>

#include "board.h"
#include "tusb.h"

enum { VENDOR = 0x1209, PRODUCT = 0xb1c0, RELEASE = 0x0100, CURRENT_MA = 500 };
enum { TEXT_LANGUAGE, TEXT_MANUFACTURER, TEXT_PRODUCT, TEXT_SERIAL, TEXT_PORT };
enum { INTERFACE_CONTROL, INTERFACE_DATA, INTERFACES };
enum { ENDPOINT_NOTIFY = 0x81, ENDPOINT_OUT = 0x02, ENDPOINT_IN = 0x82, NOTIFY_SIZE = 8, NOTIFY_MS = 16, PACKET_SIZE = 64 };
enum { CONFIGURATION_SIZE = 75 };

/* Two bytes, little-endian. */
#define U16(number) (number) & 0xff, (number) >> 8 & 0xff

/* USB 2.0, table 9-8; the class says that interfaces are grouped by association descriptors. */
static const uint8_t device[18] = {
    18, 0x01, U16(0x0200), 0xef, 0x02, 0x01, CFG_TUD_ENDPOINT0_SIZE, U16(VENDOR), U16(PRODUCT), U16(RELEASE),
    TEXT_MANUFACTURER, TEXT_PRODUCT, TEXT_SERIAL, 1,
};

/* USB 2.0, tables 9-10, 9-12 and 9-13; USB CDC 1.2 and its subclass PSTN 1.2 (abstract control model). */
static const uint8_t configuration[CONFIGURATION_SIZE] = {
    9, 0x02, U16(CONFIGURATION_SIZE), INTERFACES, 1, 0, 0x80, CURRENT_MA / 2, /* powered by the bus */
    8, 0x0b, INTERFACE_CONTROL, INTERFACES, 0x02, 0x02, 0x00, 0,
    9, 0x04, INTERFACE_CONTROL, 0, 1, 0x02, 0x02, 0x00, TEXT_PORT,
    5, 0x24, 0x00, U16(0x0120),
    5, 0x24, 0x01, 0x00, INTERFACE_DATA, /* no call management */
    4, 0x24, 0x02, 0x02, /* line coding and line state */
    5, 0x24, 0x06, INTERFACE_CONTROL, INTERFACE_DATA,
    7, 0x05, ENDPOINT_NOTIFY, 0x03, U16(NOTIFY_SIZE), NOTIFY_MS,
    9, 0x04, INTERFACE_DATA, 0, 2, 0x0a, 0x00, 0x00, 0,
    7, 0x05, ENDPOINT_OUT, 0x02, U16(PACKET_SIZE), 0,
    7, 0x05, ENDPOINT_IN, 0x02, U16(PACKET_SIZE), 0,
};

const uint8_t *tud_descriptor_device_cb(void)
{
    return device;
}

const uint8_t *tud_descriptor_configuration_cb(uint8_t index)
{
    (void)index;
    return configuration;
}

static const char *text(uint8_t index)
{
    switch (index) {
    case TEXT_MANUFACTURER:
        return "icefarm";
    case TEXT_PRODUCT:
        return "pico2-ice";
    case TEXT_SERIAL:
        return the_board.serial;
    case TEXT_PORT:
        return "board protocol";
    default:
        return NULL;
    }
}

const uint16_t *tud_descriptor_string_cb(uint8_t index, uint16_t language)
{
    enum { ENGLISH = 0x0409, TEXT_SIZE = 32, TYPE_STRING = 3 };
    static uint16_t out[1 + TEXT_SIZE]; /* until the transfer is over */
    const char *what = text(index);
    size_t n = 0;
    (void)language;
    if (index == TEXT_LANGUAGE)
        out[1 + n++] = ENGLISH;
    else if (what == NULL)
        return NULL;
    else
        for (; n < TEXT_SIZE && what[n] != '\0'; n++)
            out[1 + n] = (uint16_t)what[n];
    out[0] = (uint16_t)(TYPE_STRING << 8 | (2 * n + 2));
    return out;
}

void tud_cdc_line_state_cb(uint8_t port, bool dtr, bool rts)
{
    (void)port;
    (void)rts;
    board_line_state(&the_board, dtr);
}

void tud_cdc_line_coding_cb(uint8_t port, const cdc_line_coding_t *coding)
{
    (void)port;
    board_line_coding(&the_board, coding->bit_rate);
}

/* A reset of the bus closes the port without a word: who configures the board has not opened it yet. */
void tud_mount_cb(void)
{
    board_unplugged(&the_board);
}

void tud_umount_cb(void)
{
    board_unplugged(&the_board);
}

void tud_suspend_cb(bool may_wake_host)
{
    (void)may_wake_host;
    board_suspended(&the_board);
}

void tud_resume_cb(void)
{
    board_resumed(&the_board);
}
