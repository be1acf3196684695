/* The frame that is being received. */
#ifndef INTAKE_H
#define INTAKE_H

#include "core.h"

void intake_begin(struct core *core);
void intake_take(struct core *core, const uint8_t *bytes, size_t n);
void intake_end(struct core *core, bool sound);
void intake_drop(struct core *core, enum nak nak);
/* Whether it waits for a free slot, after trying to get one. */
bool intake_waits(struct core *core);

#endif
