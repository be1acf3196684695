#include "restart.h"

#include <stddef.h>

#include "hardware/structs/powman.h"
#include "hardware/structs/watchdog.h"
#include "hardware/watchdog.h"

/* The chip's own resets (RP2350 datasheet, register POWMAN CHIP_RESET), the most likely first: a slow rise of the supply may look
 * like a brown-out as well. */
static const struct {
    uint32_t had;
    struct restart restart;
} resets[] = {
    {POWMAN_CHIP_RESET_HAD_POR_BITS, {LEVEL_INFO, "started: power came on"}},
    {POWMAN_CHIP_RESET_HAD_BOR_BITS, {LEVEL_WARNING, "started after a brown-out: the supply fell too low"}},
    {POWMAN_CHIP_RESET_HAD_GLITCH_DETECT_BITS, {LEVEL_WARNING, "started after a glitch of the supply or the clock"}},
    {POWMAN_CHIP_RESET_HAD_RUN_LOW_BITS, {LEVEL_INFO, "started: reset by the RUN pin"}},
};

/* As watchdog_reboot does: watchdog_enable has left a word there, by which watchdog_enable_caused_reboot knows it. */
void restart_asked_for(void)
{
    watchdog_hw->scratch[4] = 0;
}

struct restart restart_reason(void)
{
    static const struct restart asked_for = {LEVEL_DEBUG, NULL};
    /* Restarts that the firmware or the boot loader asks for are the watchdog's as well, but not by its running out. */
    if (watchdog_enable_caused_reboot())
        return (struct restart){LEVEL_ERROR, "started by the watchdog: the firmware hung for 2 s"};
    /* Of a chip that was reset by its watchdog, CHIP_RESET may still say what came before. */
    if (watchdog_hw->reason != 0)
        return asked_for;
    for (size_t i = 0; i < sizeof resets / sizeof *resets; i++)
        if (powman_hw->chip_reset & resets[i].had)
            return resets[i].restart;
    return asked_for;
}
