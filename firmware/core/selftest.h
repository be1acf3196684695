/* What a board finds out about itself. */
#ifndef SELFTEST_H
#define SELFTEST_H

#include "core.h"

/* A bit for each test that failed, as TESTED says them. */
uint32_t selftest(struct core *core);

#endif
