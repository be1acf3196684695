/* Events for the worker, one JSON object a line. docs/virtual-boards.md lists them. */
#include <signal.h>
#include <stdio.h>

#include "board.h"

static void put_string(const char *text)
{
    putchar('"');
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            printf("\\%c", c);
        else if (c < 0x20)
            printf("\\u%04x", c);
        else
            putchar(c);
    }
    putchar('"');
}

static void put_field(const char *name, const char *text)
{
    printf(",\"%s\":", name);
    put_string(text);
}

/* Nobody left to tell: end, as when stdin closes, and tidy up first. */
static void end_line(void)
{
    puts("}");
    if (fflush(stdout) != 0)
        raise(SIGTERM);
}

void event_added(const board *b, const char *what)
{
    printf("{\"event\":\"%s_added\"", what);
    put_field("serial", b->serial);
    put_field("path", b->path);
    put_field("interface", "00");
    put_field("usb_path", b->usb_path);
    end_line();
}

void event_removed(const board *b, const char *what)
{
    printf("{\"event\":\"%s_removed\"", what);
    put_field("serial", b->serial);
    put_field("path", b->path);
    end_line();
}

void event_spare(const board *b)
{
    printf("{\"event\":\"spare\"");
    put_field("serial", b->serial);
    end_line();
}

void event_ready(uint32_t boards)
{
    printf("{\"event\":\"ready\",\"boards\":%u", boards);
    end_line();
}

void event_done(void)
{
    printf("{\"event\":\"done\"");
    end_line();
}

void event_refused(const char *why)
{
    printf("{\"event\":\"refused\"");
    put_field("why", why);
    end_line();
}
