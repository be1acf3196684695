#include "simulation.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "design.h"
#include "hash.h"

enum {
    THREADS_MAX = 4,
    NICER = 10,         /* than the boards' own thread, which must answer in time */
    CACHE_LOG = 14,
};

struct key {
    uint64_t a, b;
};

struct ticket {
    struct simulation *simulation;
    struct ticket *next;
    int holders; /* the board and the pool; under the pool's lock */
    bool done;
    struct key circuit, key;
    struct simulation_request request;
    struct outcome outcome;
    uint8_t *bytes; /* the bitstream, then the levels */
};

struct remembered {
    struct key key;
    struct outcome outcome;
};

/* A thread's, with what it has simulated last, so that a window that follows goes on where the one before ended. */
struct bench_fpga {
    struct simulation *simulation;
    struct decoder *decoder;
    struct ice40 *fpga;
    struct key circuit;
    double reached;
    char reason[ICE40_TEXT];
};

struct simulation {
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct ticket *first, *last;
    struct chip *chip;
    int wake;
    struct remembered *cache;
};

/* ---- keys */

static uint64_t word_at(const uint8_t *bytes, size_t n)
{
    uint64_t word = 0;
    memcpy(&word, bytes, n < sizeof word ? n : sizeof word);
    return word;
}

/* Two sums that differ in their factors: equal ones are equal bitstreams. There are four of each, over every fourth word, since a
 * processor works on four at once. */
enum { LANES = 4 };

static void take_word(struct key *sum, uint64_t word)
{
    sum->a = (sum->a ^ word) * 0x9fb21c651e98df25u;
    sum->a ^= sum->a >> 29;
    sum->b = (sum->b + word) * 0xd6e8feb86659fd93u;
    sum->b ^= sum->b >> 32;
}

static struct key key_of_bytes(const uint8_t *bytes, size_t n, uint64_t seed)
{
    struct key sums[LANES], all = {hash_mix(seed), hash_mix(seed + 1)};
    size_t at = 0;
    for (unsigned i = 0; i < LANES; i++)
        sums[i] = (struct key){hash_mix(all.a + i), hash_mix(all.b + i)};
    for (; at + LANES * sizeof(uint64_t) <= n; at += LANES * sizeof(uint64_t))
        for (unsigned i = 0; i < LANES; i++)
            take_word(&sums[i], word_at(bytes + at + i * sizeof(uint64_t), sizeof(uint64_t)));
    for (; at < n; at += sizeof(uint64_t))
        take_word(&sums[0], word_at(bytes + at, n - at));
    for (unsigned i = 0; i < LANES; i++) {
        take_word(&all, sums[i].a);
        take_word(&all, sums[i].b);
    }
    return (struct key){hash_mix(all.a ^ n), hash_mix(all.b + n)};
}

/* What is observed of it is part of it. */
static struct key key_of_circuit(const struct simulation_request *request)
{
    uint64_t seed = key_of_bytes(request->pins, request->n_pins, request->clock_hz).a;
    return key_of_bytes(request->bitstream, request->length, seed);
}

static uint64_t bits_of(double number)
{
    uint64_t bits;
    memcpy(&bits, &number, sizeof bits);
    return bits;
}

static struct key key_of_request(struct key circuit, const struct simulation_request *request)
{
    uint64_t words[] = {circuit.a, circuit.b, bits_of(request->start), bits_of(request->end), request->n_samples};
    return key_of_bytes((const uint8_t *)words, sizeof words, 1);
}

static bool same_key(struct key one, struct key other)
{
    return one.a == other.a && one.b == other.b;
}

/* ---- the cache, by key; a newer entry takes the place of an older one */

static struct remembered *place_of(const struct simulation *simulation, struct key key)
{
    return &simulation->cache[key.a & ((1u << CACHE_LOG) - 1)];
}

static void remember(struct simulation *simulation, const struct ticket *ticket)
{
    if (ticket->request.n_samples == 0)
        *place_of(simulation, ticket->key) = (struct remembered){ticket->key, ticket->outcome};
}

static bool recall(struct simulation *simulation, struct ticket *ticket)
{
    const struct remembered *known = place_of(simulation, ticket->key);
    if (ticket->request.n_samples > 0 || !same_key(known->key, ticket->key))
        return false;
    ticket->outcome = known->outcome;
    return true;
}

/* ---- in the pool's threads */

static void take_circuit(struct bench_fpga *bench, const struct ticket *ticket)
{
    const struct simulation_request *request = &ticket->request;
    if (same_key(bench->circuit, ticket->circuit) && bench->reached <= request->start)
        return;
    ice40_close(bench->fpga);
    struct ice40_setup setup = {.pins = request->pins, .n_pins = request->n_pins, .clock_hz = request->clock_hz};
    bench->reason[0] = '\0';
    bench->fpga = ice40_open(bench->decoder, ticket->bytes, request->length, &setup, bench->reason);
    bench->circuit = ticket->circuit;
    bench->reached = 0;
}

static enum ice40_origin worse(enum ice40_origin one, enum ice40_origin other)
{
    return one > other ? one : other;
}

static void sample(struct ice40 *fpga, struct ticket *ticket)
{
    const struct simulation_request *request = &ticket->request;
    uint8_t *levels = ticket->bytes + request->length;
    double step = (request->end - request->start) / request->n_samples;
    for (uint32_t i = 0; i < request->n_samples; i++) {
        ticket->outcome.origin = worse(ticket->outcome.origin, ice40_advance(fpga, request->start + step * i));
        levels[i] = ice40_level(fpga, 0);
    }
    ticket->outcome.levels = levels;
}

static void compute(struct bench_fpga *bench, struct ticket *ticket)
{
    const struct simulation_request *request = &ticket->request;
    struct outcome *outcome = &ticket->outcome;
    take_circuit(bench, ticket);
    outcome->origin = ICE40_FAILED;
    snprintf(outcome->reason, sizeof outcome->reason, "%s", bench->reason);
    if (bench->fpga == NULL)
        return;
    outcome->origin = ice40_advance(bench->fpga, request->start);
    for (uint8_t pin = 0; pin < request->n_pins; pin++)
        outcome->pulses[pin] = -ice40_pulses(bench->fpga, pin);
    if (request->n_samples > 0)
        sample(bench->fpga, ticket);
    outcome->origin = worse(outcome->origin, ice40_advance(bench->fpga, request->end));
    for (uint8_t pin = 0; pin < request->n_pins; pin++)
        outcome->pulses[pin] += ice40_pulses(bench->fpga, pin);
    bench->reached = request->end;
    if (outcome->origin == ICE40_FAILED)
        snprintf(outcome->reason, sizeof outcome->reason, "%s", ice40_reason(bench->fpga));
}

static void free_ticket(struct ticket *ticket)
{
    free(ticket->bytes);
    free(ticket);
}

/* Under the lock. */
static void let_go(struct ticket *ticket)
{
    if (--ticket->holders == 0)
        free_ticket(ticket);
}

static struct ticket *next_ticket(struct simulation *simulation)
{
    while (simulation->first == NULL)
        pthread_cond_wait(&simulation->work, &simulation->lock);
    struct ticket *ticket = simulation->first;
    simulation->first = ticket->next;
    return ticket;
}

static void finish(struct simulation *simulation, struct ticket *ticket)
{
    static const uint64_t one = 1;
    remember(simulation, ticket);
    ticket->done = true;
    let_go(ticket);
    if (write(simulation->wake, &one, sizeof one) < 0 && errno != EAGAIN)
        perror("icefarm-boards: eventfd");
}

static void *work(void *argument)
{
    struct bench_fpga *bench = argument;
    struct simulation *simulation = bench->simulation;
    setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), NICER);
    pthread_mutex_lock(&simulation->lock);
    for (;;) {
        struct ticket *ticket = next_ticket(simulation);
        if (ticket->holders == 1) { /* nobody waits for it any more */
            let_go(ticket);
            continue;
        }
        pthread_mutex_unlock(&simulation->lock);
        compute(bench, ticket);
        pthread_mutex_lock(&simulation->lock);
        finish(simulation, ticket);
    }
    return NULL;
}

/* ---- in the boards' thread */

struct ticket *simulation_begin(struct simulation *simulation, const struct simulation_request *request)
{
    struct ticket *ticket = calloc(1, sizeof *ticket);
    if (ticket == NULL)
        return NULL;
    ticket->simulation = simulation;
    ticket->request = *request;
    ticket->circuit = key_of_circuit(request);
    ticket->key = key_of_request(ticket->circuit, request);
    ticket->holders = 1;
    pthread_mutex_lock(&simulation->lock);
    ticket->done = recall(simulation, ticket);
    pthread_mutex_unlock(&simulation->lock);
    if (ticket->done)
        return ticket;
    ticket->bytes = malloc(request->length + request->n_samples + 1);
    if (ticket->bytes == NULL) {
        free_ticket(ticket);
        return NULL;
    }
    memcpy(ticket->bytes, request->bitstream, request->length);
    pthread_mutex_lock(&simulation->lock);
    ticket->holders = 2;
    if (simulation->first == NULL)
        simulation->first = ticket;
    else
        simulation->last->next = ticket;
    simulation->last = ticket;
    pthread_cond_signal(&simulation->work);
    pthread_mutex_unlock(&simulation->lock);
    return ticket;
}

const struct outcome *simulation_outcome(struct ticket *ticket)
{
    pthread_mutex_lock(&ticket->simulation->lock);
    bool done = ticket->done;
    pthread_mutex_unlock(&ticket->simulation->lock);
    return done ? &ticket->outcome : NULL;
}

void simulation_drop(struct ticket *ticket)
{
    if (ticket == NULL)
        return;
    pthread_mutex_t *lock = &ticket->simulation->lock;
    pthread_mutex_lock(lock);
    let_go(ticket);
    pthread_mutex_unlock(lock);
}

static bool start_thread(struct simulation *simulation)
{
    struct bench_fpga *bench = calloc(1, sizeof *bench);
    pthread_t thread;
    if (bench == NULL)
        return false;
    *bench = (struct bench_fpga){.simulation = simulation, .decoder = decoder_open(simulation->chip)};
    if (bench->decoder == NULL || pthread_create(&thread, NULL, work, bench) != 0) {
        decoder_close(bench->decoder);
        free(bench);
        return false;
    }
    pthread_detach(thread);
    return true;
}

static bool start_threads(struct simulation *simulation)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN), started = 0;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the boards' thread's, which they wake */
    n = n < 1 ? 1 : n > THREADS_MAX ? THREADS_MAX : n;
    while (started < n && start_thread(simulation))
        started++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return started > 0;
}

struct simulation *simulation_open(int *wake)
{
    struct simulation *simulation = calloc(1, sizeof *simulation);
    if (simulation != NULL) {
        pthread_mutex_init(&simulation->lock, NULL);
        pthread_cond_init(&simulation->work, NULL);
        simulation->cache = calloc((size_t)1 << CACHE_LOG, sizeof *simulation->cache);
        simulation->chip = chip_open();
        simulation->wake = *wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    }
    if (simulation == NULL || simulation->cache == NULL || simulation->chip == NULL || *wake < 0 ||
        !start_threads(simulation)) {
        fprintf(stderr, "icefarm-boards: simulations can't be computed: %s\n", strerror(errno));
        return NULL;
    }
    return simulation;
}
