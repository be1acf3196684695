/* What a board runs while nobody has reserved it: it says who it is and tests itself, and evaluates nothing. */
#include "app.h"

const struct app app_default = {.name = "default"};
