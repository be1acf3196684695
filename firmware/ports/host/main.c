/* icefarm-boards: many virtual boards in one process and one thread. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "commands.h"
#include "options.h"

enum { EVENTS_MAX = 256, LINE_MAX_BYTES = 1024 };

/* What epoll says of stdin and the timer; a board's data is its generation and index. */
static const uint64_t FROM_STDIN = UINT64_MAX, FROM_TIMER = UINT64_MAX - 1, FROM_SIMULATION = UINT64_MAX - 2;

struct run {
    board *boards;
    uint32_t n_boards;
    int epoll, timer, simulated;
    uint64_t armed_us;
    size_t n_line;
    char line[LINE_MAX_BYTES];
};

static volatile sig_atomic_t stop;

static void on_signal(int number)
{
    (void)number;
    stop = 1;
}

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "icefarm-boards: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void watch(int epoll, int fd, uint64_t data)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = data};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        die("epoll");
}

/* Arm the timer for the earliest thing that a board waits for; returns the time-out for epoll_wait. */
static int arm(struct run *run)
{
    uint64_t wake = CORE_NEVER;
    for (uint32_t i = 0; i < run->n_boards; i++) {
        uint64_t at = run->boards[i].woken ? 1 : run->boards[i].wake_us;
        wake = at < wake ? at : wake;
    }
    uint64_t now = clock_us();
    if (wake <= now)
        return 0;
    if (wake >= run->armed_us && run->armed_us > now)
        return -1; /* it comes early enough, and too early does no harm */
    run->armed_us = wake;
    struct itimerspec at = {0};
    if (wake != CORE_NEVER) {
        at.it_value.tv_sec = (time_t)(wake / 1000000);
        at.it_value.tv_nsec = (long)(wake % 1000000) * 1000 + 1; /* all 0 would disarm it */
    }
    if (timerfd_settime(run->timer, TFD_TIMER_ABSTIME, &at, NULL) < 0)
        die("timer");
    return -1;
}

static void take_commands(struct run *run)
{
    ssize_t n = read(STDIN_FILENO, run->line + run->n_line, sizeof run->line - run->n_line);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        stop = 1;
    if (n <= 0)
        return;
    run->n_line += (size_t)n;
    char *end;
    while ((end = memchr(run->line, '\n', run->n_line)) != NULL) {
        *end = '\0';
        command_run(run->boards, run->n_boards, run->line, clock_us());
        run->n_line -= (size_t)(end + 1 - run->line);
        memmove(run->line, end + 1, run->n_line);
    }
    if (run->n_line == sizeof run->line) {
        run->n_line = 0;
        event_refused("the command is too long");
    }
}

/* Something was computed: for which board does not matter, as all look at once. */
static void wake_waiting(struct run *run)
{
    for (uint32_t i = 0; i < run->n_boards; i++)
        if (run->boards[i].fpga.waiting_since > 0)
            run->boards[i].woken = true;
}

static void dispatch(struct run *run, const struct epoll_event *event)
{
    uint64_t expirations;
    if (event->data.u64 == FROM_STDIN) {
        take_commands(run);
        return;
    }
    if (event->data.u64 == FROM_TIMER) {
        run->armed_us = CORE_NEVER;
        if (read(run->timer, &expirations, sizeof expirations) < 0 && errno != EAGAIN)
            die("timer");
        return;
    }
    if (event->data.u64 == FROM_SIMULATION) {
        if (read(run->simulated, &expirations, sizeof expirations) > 0)
            wake_waiting(run);
        return;
    }
    board *b = &run->boards[(uint32_t)event->data.u64];
    if (b->generation != event->data.u64 >> 32)
        return; /* of a port that is gone */
    b->woken = true;
    /* After a hang-up there may be bytes left to read; reading them to their end then says that it is closed. */
    if (event->events & (EPOLLIN | EPOLLHUP))
        b->readable = true;
    if ((event->events & EPOLLHUP) && b->place == BOARD_LEAVING)
        board_hang_up(b, clock_us());
}

static void service(struct run *run)
{
    uint64_t now = clock_us();
    for (uint32_t i = 0; i < run->n_boards; i++)
        if (run->boards[i].woken || run->boards[i].wake_us <= now)
            board_service(&run->boards[i], now);
}

static void loop(struct run *run)
{
    struct epoll_event events[EVENTS_MAX];
    while (!stop) {
        int n = epoll_wait(run->epoll, events, EVENTS_MAX, arm(run));
        if (n < 0 && errno != EINTR)
            die("epoll");
        for (int i = 0; i < n; i++)
            dispatch(run, &events[i]);
        service(run);
    }
}

static int write_image(const char *app, const char *version)
{
    if (board_app(app) == NULL) {
        fprintf(stderr, "icefarm-boards: there is no application %s; there are default, pulse_count, variance and console\n",
                app);
        return 2;
    }
    uint8_t image[IMAGE_SIZE], block[UF2_BLOCK];
    image_build(image, app, version);
    for (uint32_t i = 0; i < IMAGE_SIZE / UF2_PAYLOAD; i++) {
        image_uf2_block(block, image, i);
        fwrite(block, 1, sizeof block, stdout);
    }
    return fflush(stdout) == 0 ? 0 : 1;
}

static void plug_all(struct run *run, const struct options *options)
{
    run->boards = calloc(options->boards, sizeof *run->boards);
    run->n_boards = options->boards;
    if (run->boards == NULL)
        die("boards");
    for (uint32_t i = 0; i < run->n_boards; i++) {
        board *b = &run->boards[i];
        if (!board_init(b, &options->bench, i, options->seed, options->blank))
            die("boards");
        if (i >= options->plugged) {
            event_spare(b);
            continue;
        }
        b->place = BOARD_STARTING; /* in place since before the host looked: no wait */
        board_service(b, clock_us());
    }
    event_ready(run->n_boards);
}

static void prepare_process(void)
{
    /* Ctrl-C and the like go to the worker's whole group; it decides when its boards end, by closing stdin. That also
     * tells them when it was killed, and they can tidy up after it. */
    setpgid(0, 0);
    signal(SIGINT, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGTERM, &action, NULL);
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    fcntl(STDIN_FILENO, F_SETFL, fcntl(STDIN_FILENO, F_GETFL) | O_NONBLOCK);
}

int main(int argc, char **argv)
{
    struct options options = options_parse(argc, argv);
    if (options.image != NULL)
        return write_image(options.image, options.version);
    if (options.simulate.file != NULL)
        return simulate(&options.simulate);
    struct run run = {.armed_us = CORE_NEVER};
    prepare_process();
    if ((options.bench.model = model_open(&options.model)) == NULL)
        return 1;
    options.bench.started_us = clock_us();
    run.epoll = options.bench.epoll = epoll_create1(EPOLL_CLOEXEC);
    run.timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (run.epoll < 0 || run.timer < 0)
        die("epoll");
    if (options.model.simulated) {
        if ((options.bench.simulation = simulation_open(&run.simulated)) == NULL)
            return 1;
        watch(run.epoll, run.simulated, FROM_SIMULATION);
    }
    watch(run.epoll, STDIN_FILENO, FROM_STDIN);
    watch(run.epoll, run.timer, FROM_TIMER);
    plug_all(&run, &options);
    loop(&run);
    for (uint32_t i = 0; i < run.n_boards; i++)
        board_unplug(&run.boards[i]);
    rmdir(options.bench.directory); /* a worker that was killed can't; fails where others have files there */
    return 0;
}
