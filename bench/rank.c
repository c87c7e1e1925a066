/* rank.c - stands for lt-worker where there are more ranks than a machine could train
 *
 * What a rank costs its node without the training: it finds the others through its shim, and at every
 * step it writes its page, and what it begins and ends in the flight recorder, as engine/train does,
 * over collectives of the kind `null`, in a world of the job's size. Rank 0 writes metrics to its
 * journal at every step while there is a file `record` in the run's folder. The job's name says how
 * many milliseconds a step takes. stdout: when (monotonic, ns) it came to the barrier and when it was
 * let out; at the end, rank 0, what a step and a record took it.
 *
 * With --plan-only any plan is fine and takes a mebibyte.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "engine/comm/comm.h"
#include "engine/comm/rendezvous.h"
#include "lt/v1/agent.pb-c.h"
#include "proto/wire.h"
#include "sys/attempt.h"
#include "sys/clock.h"
#include "sys/file.h"
#include "sys/journal.h"
#include "sys/page.h"
#include "tests/node/poke.h"

#define SPEC_MAX (1 << 20)
#define GRADIENTS 1024

struct rank {
    const char *dir;
    const Lt__V1__StartRank *start;
    struct lt_page *page;
    struct lt_journal *journal;
    struct lt_comm *comm;
    char *record; /* the file that asks for records */
    uint64_t steps, step_ns, records, record_ns;
};

static int die(const char *what, const struct lt_error *err)
{
    fprintf(stderr, "%s: %s\n", what, err->text);
    exit(106);
}

static void append(struct rank *r, const Lt__V1__JournalRecord *record)
{
    LT_BUF_AUTO b = {0};
    struct lt_error err = {0};

    lt_buf_reserve(&b, lt__v1__journal_record__get_packed_size(record) + 1);
    b.len = lt__v1__journal_record__pack(record, (uint8_t *)b.data);
    if (lt_journal_append(r->journal, b.data, b.len, &err) < 0)
        die("journal", &err);
    poke_agent(r->dir);
}

/* ---- its life */

static void open_all(struct rank *r, struct lt_arena *arena)
{
    struct lt_comm_config c = {.kind = "null"};
    struct lt_error err = {0};
    LT_BUF_AUTO bytes = {0};
    ProtobufCMessage *m;

    if (lt_file_read(lt_attempt_path(r->dir, "spec"), SPEC_MAX, &bytes, &err) < 0 ||
        lt_wire_decode(&lt__v1__start_rank__descriptor, bytes.data, bytes.len, arena, &m, &err) < 0 ||
        lt_page_map(lt_attempt_path(r->dir, "page"), &r->page, &err) < 0 ||
        lt_journal_open(lt_attempt_path(r->dir, "journal"), &r->journal, &err) < 0)
        die(r->dir, &err);
    r->start = (const Lt__V1__StartRank *)m;
    r->record = lt_format("%s/record", r->start->run_dir);
    c.rank = (int)r->start->rank;
    c.world = (int)r->start->world_size;
    c.page = r->page;
    if (lt_comm_open(&c, &r->comm, &err) < 0)
        die("comm", &err);
}

static void meet(const struct rank *r)
{
    struct lt_rendezvous others = {0};
    struct lt_error err = {0};
    uint64_t came;

    if (r->start->world_size > 1 && lt_rendezvous_init(&others, &err) < 0)
        die("rendezvous", &err);
    came = lt_clock_mono_ns();
    if (r->start->world_size > 1 && lt_rendezvous_barrier(&others, &err) < 0)
        die("barrier", &err);
    printf("%llu %llu\n", (unsigned long long)came, (unsigned long long)lt_clock_mono_ns());
    fflush(stdout);
}

static void started(struct rank *r)
{
    Lt__V1__JournalRecord j = LT__V1__JOURNAL_RECORD__INIT;
    Lt__V1__Started s = LT__V1__STARTED__INIT;
    Lt__V1__PhaseChanged p = LT__V1__PHASE_CHANGED__INIT;

    j.type_case = LT__V1__JOURNAL_RECORD__TYPE_STARTED;
    j.started = &s;
    append(r, &j);
    j.type_case = LT__V1__JOURNAL_RECORD__TYPE_PHASE;
    j.phase = &p;
    p.phase = (char *)(uintptr_t)lt_phase_names[LT_PHASE_TRAINING];
    append(r, &j);
    atomic_store(&r->page->phase, LT_PHASE_TRAINING);
}

/* engine/train: update_page() and lt_trainer_boundary() */
static void step(struct rank *r)
{
    static float gradients[GRADIENTS];
    struct lt_coll k = {.name = "grads0/start", .one = {gradients, gradients, GRADIENTS, 0}};
    uint64_t now = lt_clock_mono_ns(), n = ++r->steps;
    struct lt_error err = {0};

    if (lt_comm_run(r->comm, &k, &err) < 0)
        die("all_reduce", &err);
    if (n == 1)
        atomic_store_explicit(&r->page->first_step_ns, now, memory_order_relaxed);
    atomic_store_explicit(&r->page->step, n, memory_order_relaxed);
    atomic_store_explicit(&r->page->batch, n, memory_order_relaxed);
    atomic_store_explicit(&r->page->step_ns, r->step_ns / n, memory_order_relaxed);
    atomic_store_explicit(&r->page->loss_bits, n, memory_order_relaxed);
    atomic_store_explicit(&r->page->heartbeat_ns, now, memory_order_relaxed);
    r->step_ns += lt_clock_mono_ns() - now;
}

static void record(struct rank *r)
{
    static const char *const names[] = {"train_loss", "train_acc", "lr-Adam", "grad_norm"};
    Lt__V1__JournalRecord j = LT__V1__JOURNAL_RECORD__INIT;
    Lt__V1__MetricValues m = LT__V1__METRIC_VALUES__INIT;
    Lt__V1__MetricValue values[LT_ARRAY_LEN(names)], *list[LT_ARRAY_LEN(names)];
    uint64_t from = lt_clock_mono_ns();

    for (size_t i = 0; i < LT_ARRAY_LEN(names); i++) {
        lt__v1__metric_value__init(&values[i]);
        values[i].name = (char *)(uintptr_t)names[i];
        values[i].has_value = true;
        values[i].value = 0.123456789;
        list[i] = &values[i];
    }
    m.has_step = true;
    m.step = r->steps;
    m.values = list;
    m.n_values = LT_ARRAY_LEN(names);
    j.type_case = LT__V1__JOURNAL_RECORD__TYPE_METRICS;
    j.metrics = &m;
    append(r, &j);
    r->records++;
    r->record_ns += lt_clock_mono_ns() - from;
}

static void train(struct rank *r, int period_ms)
{
    struct timespec next;

    clock_gettime(CLOCK_MONOTONIC, &next);
    while (!(atomic_load(&r->page->command) & (LT_COMMAND_CANCEL | LT_COMMAND_STOP))) {
        next.tv_nsec += period_ms * 1000000L;
        next.tv_sec += next.tv_nsec / 1000000000;
        next.tv_nsec %= 1000000000;
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
        step(r);
        if (r->steps == 1)
            started(r);
        if (r->start->rank == 0 && lt_file_exists(r->record))
            record(r);
    }
}

static void finish(struct rank *r)
{
    Lt__V1__JournalRecord j = LT__V1__JOURNAL_RECORD__INIT;
    Lt__V1__Finished f = LT__V1__FINISHED__INIT;

    if (r->start->rank == 0)
        printf("%llu %llu\n", (unsigned long long)(r->step_ns / LT_MAX(r->steps, 1)),
               (unsigned long long)(r->record_ns / LT_MAX(r->records, 1)));
    fflush(stdout);
    j.type_case = LT__V1__JOURNAL_RECORD__TYPE_FINISHED;
    j.finished = &f;
    f.has_result = true;
    f.result = LT__V1__JOB_RESULT__CANCELLED;
    append(r, &j);
}

static int plan_only(void)
{
    Lt__V1__CheckDone done = LT__V1__CHECK_DONE__INIT;
    Lt__V1__Checked cost = LT__V1__CHECKED__INIT;
    uint8_t out[256];

    while (fread(out, 1, sizeof out, stdin) > 0)
        ;
    cost.has_memory_bytes = true;
    cost.memory_bytes = 1 << 20;
    done.cost = &cost;
    fwrite(out, 1, lt__v1__check_done__pack(&done, out), stdout);
    return 0;
}

int main(int argc, char **argv)
{
    struct lt_arena *arena = lt_arena_new(0);
    struct rank r = {.dir = argv[1]};

    if (argc > 1 && strcmp(argv[1], "--plan-only") == 0)
        return plan_only();
    if (argc != 2)
        return 2;
    open_all(&r, arena);
    meet(&r);
    train(&r, atoi(r.start->job_name));
    finish(&r);
    return 0;
}
