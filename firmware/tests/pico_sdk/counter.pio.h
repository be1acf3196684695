#include "fake_sdk.h"
FAKE_PROGRAM(counter)
FAKE_PROGRAM(window)
