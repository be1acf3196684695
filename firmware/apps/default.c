/* What a board runs while nobody has reserved it: it says who it is and tests itself. An evaluation loads a bitstream and measures
 * nothing: it shows whether the FPGA takes one. */
#include "app.h"

static const char *check(const uint8_t *parameters, size_t n)
{
    (void)parameters;
    return n == 0 ? NULL : "default takes no parameters";
}

static uint64_t expected_us(const uint8_t *parameters, size_t n)
{
    (void)parameters;
    (void)n;
    return 0;
}

static void start(struct app_run *run, const uint8_t *parameters, size_t n, struct port *port)
{
    (void)parameters;
    (void)n;
    (void)port;
    run->result_length = 0;
}

static bool poll(struct app_run *run, struct port *port)
{
    (void)run;
    (void)port;
    return true;
}

const struct app app_default = {
    .name = "default",
    .check = check,
    .expected_us = expected_us,
    .start = start,
    .poll = poll,
};
