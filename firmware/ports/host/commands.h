/* Commands from the worker, one a line on stdin; each is answered with the event done or refused. */
#ifndef COMMANDS_H
#define COMMANDS_H

#include "board.h"

void command_run(board *boards, uint32_t n_boards, char *line, uint64_t now);

#endif
