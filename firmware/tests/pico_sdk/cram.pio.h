#include "fake_sdk.h"
FAKE_PROGRAM(cram)
FAKE_PROGRAM(cram_finish)
