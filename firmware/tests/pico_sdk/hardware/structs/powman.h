#include "fake_sdk.h"
