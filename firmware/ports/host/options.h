/* The command line of icefarm-boards. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include "board.h"
#include "simulate.h"

struct options {
    uint32_t boards;
    uint32_t plugged; /* of them, at the start */
    const char *seed;
    bool blank;
    const char *image; /* application whose UF2 is written to stdout, or NULL */
    const char *version; /* in that UF2 */
    struct simulate_options simulate; /* a circuit without boards, where simulate.file is one */
    struct bench bench;
    struct model_options model;
};

/* Ends the process with a message when the arguments are wrong. */
struct options options_parse(int argc, char **argv);

#endif
