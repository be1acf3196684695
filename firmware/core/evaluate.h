/* Evaluations: the slots they wait in, and the one that is loaded and measured. */
#ifndef EVALUATE_H
#define EVALUATE_H

#include "core.h"

/* Make a buffer free, and forget what is in it. */
void slot_empty(struct slot *slot);

bool evaluate_poll(struct core *core);
/* End one, or all; returns how many. `answered`: each gets FAILED. */
uint32_t evaluate_cancel(struct core *core, bool all, uint32_t id, bool answered);
uint8_t evaluate_free_slots(const struct core *core);
/* A free slot, which is now being filled for that evaluation, or NULL. Of those it is the one whose bitstream came first; that
 * bitstream is still in there. */
struct slot *evaluate_claim(struct core *core, uint32_t id);
/* The slot that holds the bitstream of that EVALUATE, or NULL. */
struct slot *evaluate_held(struct core *core, uint32_t id);
bool evaluate_in_progress(const struct core *core, uint32_t id);

#endif
