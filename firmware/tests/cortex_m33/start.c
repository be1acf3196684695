/* Starts a test on a Cortex-M33 that has no operating system; files and output are the host's, by semihosting. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifndef ARGUMENTS
#error "ARGUMENTS are what the test gets, texts with commas between"
#endif

extern uint8_t bss_start[], bss_end[];
extern uint32_t stack_top[];
extern void initialise_monitor_handles(void); /* newlib's librdimon */
extern int main(int argc, char **argv);
void start(void);
void _fini(void);

/* Called by newlib's exit. */
void _fini(void)
{
}

void start(void)
{
    static char *arguments[] = {"test", ARGUMENTS, NULL};
    memset(bss_start, 0, (size_t)(bss_end - bss_start));
    initialise_monitor_handles();
    exit(main(sizeof arguments / sizeof *arguments - 1, arguments));
}

static void fault(void)
{
    abort();
}

__attribute__((section(".vectors"), used)) static void (*const vectors[16])(void) = {
    /* clang-format off */
    (void (*)(void))stack_top, start, fault, fault, fault, fault, fault, fault,
    fault, fault, fault, fault, fault, fault, fault, fault,
    /* clang-format on */
};
