/* All requests but EVALUATE. */
#ifndef REQUESTS_H
#define REQUESTS_H

#include "core.h"

void request_answer(struct core *core, const struct frame_header *header, const uint8_t *payload);

#endif
