/* Why the firmware started. */
#ifndef RESTART_H
#define RESTART_H

#include "protocol.h"

struct restart {
    enum log_level level;
    const char *text; /* NULL: somebody asked for it, which is no news */
};

/* Before watchdog_enable, which overwrites what this looks at. */
struct restart restart_reason(void);

/* The firmware is about to leave for the boot loader, whose restart is not to be taken for a hang. */
void restart_asked_for(void);

#endif
