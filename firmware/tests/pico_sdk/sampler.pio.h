#include "fake_sdk.h"
FAKE_PROGRAM(sampler)
