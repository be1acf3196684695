/* Between the files of the core, not for ports and applications. */
#ifndef CORE_PARTS_H
#define CORE_PARTS_H

#include "core.h"

size_t core_tx_room(const struct core *core);
void core_fail(struct core *core, uint32_t id, enum failure failure, const char *text);

/* evaluate.c */
bool evaluate_poll(struct core *core);
uint32_t evaluate_cancel(struct core *core, bool all, uint32_t id, bool answer);
uint8_t evaluate_free_slots(const struct core *core);
struct slot *evaluate_claim(struct core *core, uint32_t id);
bool evaluate_in_progress(const struct core *core, uint32_t id);

/* intake.c */
void intake_begin(struct core *core);
void intake_take(struct core *core, const uint8_t *bytes, size_t n);
void intake_end(struct core *core, bool sound);
void intake_drop(struct core *core, enum nak nak);
bool intake_waits(struct core *core); /* for a free slot, after trying to get one */

/* requests.c */
void request_answer(struct core *core, const struct frame_header *header, const uint8_t *payload);

/* selftest.c: a bit for each test that failed, as TESTED says them. */
uint32_t selftest(struct core *core);

#endif
