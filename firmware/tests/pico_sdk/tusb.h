#include "fake_sdk.h"
#include "tusb_config.h"
