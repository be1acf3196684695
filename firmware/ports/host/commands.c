#include "commands.h"

#include <stdlib.h>
#include <string.h>

enum { WORDS_MAX = 5 };

static board *find(board *boards, uint32_t n_boards, const char *serial)
{
    for (uint32_t i = 0; i < n_boards; i++)
        if (strcmp(boards[i].serial, serial) == 0)
            return &boards[i];
    return NULL;
}

static bool number_in(const char *text, double least, double most, double *number)
{
    char *end;
    *number = strtod(text, &end);
    return end != text && *end == '\0' && *number >= least && *number <= most;
}

/* Returns what is wrong, or NULL. */
static const char *set_fault(board *b, const char *name, bool on, const char *argument, uint64_t now)
{
    struct faults *faults = &b->faults;
    double number = 1;
    if (argument != NULL && !number_in(argument, 0.001, 1e6, &number))
        return "the argument of a fault is a number, 0.001 to 1000000";
    if (strcmp(name, "silent") == 0)
        faults->silent = on;
    else if (strcmp(name, "cdone") == 0)
        faults->cdone = on;
    else if (strcmp(name, "stuck") == 0)
        faults->stuck = on;
    else if (strcmp(name, "garbled") == 0)
        faults->garbled = on ? (number < 1 ? 1 : (uint32_t)number) : 0;
    else if (strcmp(name, "slow") == 0)
        faults->slow = on ? number : 0;
    else if (strcmp(name, "fails_to_boot") == 0)
        faults->fails_to_boot = on;
    else
        return "faults are silent, garbled, cdone, stuck, slow, fails_to_boot";
    if (!faults->fails_to_boot && b->place == BOARD_HUNG)
        board_plug(b, now);
    return NULL;
}

static const char *unplug(board *b, const char *bytes)
{
    double after;
    if (bytes == NULL) {
        board_unplug(b);
        return NULL;
    }
    if (!number_in(bytes, 1, 1e15, &after))
        return "unplug SERIAL [AFTER_BYTES]: at least 1";
    b->faults.unplug_after = (int64_t)after;
    return NULL;
}

static const char *run(board *b, char **words, int n, uint64_t now)
{
    if (strcmp(words[0], "unplug") == 0 && n <= 3)
        return unplug(b, words[2]);
    if (strcmp(words[0], "plug") == 0 && n == 2) {
        board_plug(b, now);
        return NULL;
    }
    bool on = n >= 4 && strcmp(words[3], "on") == 0;
    bool off = n == 4 && strcmp(words[3], "off") == 0;
    if (strcmp(words[0], "fault") == 0 && (on || off))
        return set_fault(b, words[2], on, words[4], now);
    return "commands are: fault SERIAL NAME on [NUMBER], fault SERIAL NAME off, unplug SERIAL [AFTER_BYTES], plug SERIAL";
}

void command_run(board *boards, uint32_t n_boards, char *line, uint64_t now)
{
    char *words[WORDS_MAX + 1] = {0};
    char *rest = NULL;
    int n = 0;
    for (char *word = strtok_r(line, " \t\r", &rest); word != NULL && n < WORDS_MAX; word = strtok_r(NULL, " \t\r", &rest))
        words[n++] = word;
    if (n == 0)
        return;
    board *b = n > 1 ? find(boards, n_boards, words[1]) : NULL;
    const char *wrong = b == NULL ? "there is no board with this serial" : run(b, words, n, now);
    if (wrong == NULL)
        event_done();
    else
        event_refused(wrong);
    if (b != NULL)
        b->woken = true;
}
