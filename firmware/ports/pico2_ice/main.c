#include "board.h"
#include "version.h"

#ifndef ICEFARM_APP
#error "ICEFARM_APP is the application in this image: app_default, app_pulse_count, ..."
#endif

struct port the_board;

/* `icefarm firmware` reads it in the image. */
static const char image_mark[] = BOARD_MARK ICEFARM_APP_NAME ":" FIRMWARE_VERSION;

int main(void)
{
    (void)*(const volatile char *)image_mark; /* or the linker would leave it out */
    board_init(&the_board, &ICEFARM_APP);
    for (;;)
        board_step(&the_board);
}
