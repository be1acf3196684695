/* What waits for USB. core.h has what ports and applications send with. */
#ifndef OUTBOX_H
#define OUTBOX_H

#include "core.h"

/* Bytes that there is room for, frames and all. */
size_t outbox_room(const struct core *core);
/* FAILED, with a text that says more. */
void outbox_fail(struct core *core, uint32_t id, enum failure failure, const char *text);
/* Put the next line of the log among the frames, if a host is there for it. Returns whether it did. */
bool outbox_tell(struct core *core);
/* Hand to USB what it takes. Returns whether it took anything. */
bool outbox_send(struct core *core);

#endif
