/* fake_worker.c - stands for lt-worker: does what its job's name says, word by word
 *
 *   print     writes `hello` to stdout and `oops` to stderr
 *   step      counts one step in the page and one metrics record in the journal
 *   wait      until the page's command has a bit (cancel: ends with CANCELLED, stop: STOPPED)
 *   hang      for ever, whatever is asked
 *   finish    last record SUCCEEDED, exit 0
 *   fail      last record FAILED, class DATA, exit 1
 *   exit3     exit 3 without a last record
 *   exit106   the same with the status of class INFRASTRUCTURE
 *   child     leaves a detached child behind that would live for a minute
 *   restless  leaves a detached child behind that becomes another program all the time, for a while
 *   blank     leaves one behind that shows no environment until a little after the worker's death
 *   lines     writes `line N` to stdout, a thousand a second, until cancelled or stopped
 *   flood     writes two million lines as fast as it can
 *   env       writes some of its environment to stdout
 *   join      a collective with all ranks of the attempt: goes on when every one has begun it
 *   loop      join and a step, again and again, until all ranks are cancelled or stopped
 *
 * With --libraries it says which it has. With --plan-only it reads a spec and answers: memory_bytes is the spec's size, name `bad` is
 * refused, `slow` never ends, `crash` dies by a signal.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/mem.h"
#include "lt/v1/agent.pb-c.h"
#include "proto/wire.h"
#include "sys/attempt.h"
#include "sys/cpuset.h"
#include "sys/file.h"
#include "sys/journal.h"
#include "sys/page.h"
#include "tests/node/poke.h"

struct fake {
    const char *dir, *cgroup;
    const Lt__V1__StartRank *start;
    uint64_t joined;
    struct lt_page *page;
    struct lt_journal *journal;
};

/* Nothing is freed here, and no leak checker shall mind. */
static void leave(int code)
{
    fflush(NULL);
    _exit(code);
}

static void append(struct fake *f, Lt__V1__JournalRecord *r)
{
    LT_BUF_AUTO b = {0};

    lt_buf_reserve(&b, lt__v1__journal_record__get_packed_size(r) + 1);
    b.len = lt__v1__journal_record__pack(r, (uint8_t *)b.data);
    if (lt_journal_append(f->journal, b.data, b.len, NULL) < 0)
        abort();
    poke_agent(f->dir);
}

static void step(struct fake *f)
{
    Lt__V1__JournalRecord r = LT__V1__JOURNAL_RECORD__INIT;
    Lt__V1__MetricValues m = LT__V1__METRIC_VALUES__INIT;

    r.type_case = LT__V1__JOURNAL_RECORD__TYPE_METRICS;
    r.metrics = &m;
    m.has_step = true;
    m.step = atomic_fetch_add(&f->page->step, 1);
    append(f, &r);
}

static void finish(struct fake *f, Lt__V1__JobResult result, Lt__V1__FailureClass class,
                   const char *reason)
{
    Lt__V1__JournalRecord r = LT__V1__JOURNAL_RECORD__INIT;
    Lt__V1__Finished x = LT__V1__FINISHED__INIT;

    r.type_case = LT__V1__JOURNAL_RECORD__TYPE_FINISHED;
    r.finished = &x;
    x.has_result = x.has_class_ = true;
    x.result = result;
    x.class_ = class;
    x.reason = (char *)reason;
    append(f, &r);
}

static void do_wait(struct fake *f)
{
    uint32_t command;

    while (!((command = atomic_load(&f->page->command)) & (LT_COMMAND_CANCEL | LT_COMMAND_STOP)))
        usleep(1000);
    finish(f,
           command & LT_COMMAND_CANCEL ? LT__V1__JOB_RESULT__CANCELLED
                                       : LT__V1__JOB_RESULT__STOPPED,
           LT__V1__FAILURE_CLASS__CLASS_NONE, NULL);
    leave(0);
}

/* Through the other ranks' pages, busily, as MPI would. */
static void join(struct fake *f)
{
    uint64_t n = ++f->joined;

    lt_page_collective_start(f->page, n, "conv1.weight.grad", "all_reduce", 4096, n);
    for (uint32_t i = 0; i < f->start->world_size; i++) {
        LT_AUTO(lt_free) char *path =
            lt_format("%s/../%s.%u.%u/page", f->dir, f->start->job, f->start->attempt, i);
        struct lt_page *other = NULL;

        while (i != f->start->rank && lt_page_map(path, &other, NULL) < 0)
            sched_yield();
        while (other && atomic_load(&other->collective_seq) < n)
            sched_yield();
        lt_page_unmap(other);
    }
    lt_page_collective_done(f->page, n);
}

static void do_loop(struct fake *f)
{
    while (!(atomic_load(&f->page->command) & (LT_COMMAND_CANCEL | LT_COMMAND_STOP))) {
        join(f);
        atomic_fetch_add(&f->page->step, 1);
        usleep(2000);
    }
    atomic_store(&f->page->collective_seq, UINT64_MAX); /* nobody waits for us */
    do_wait(f);
}

static void do_lines(struct fake *f)
{
    for (unsigned n = 0; !(atomic_load(&f->page->command) & (LT_COMMAND_CANCEL | LT_COMMAND_STOP));
         n++) {
        printf("line %u\n", n);
        fflush(stdout);
        usleep(1000);
    }
    do_wait(f);
}

static void flood(void)
{
    for (unsigned n = 0; n < 2000000; n++)
        printf("line %u of many, long enough for one\n", n);
    fflush(stdout);
}

static void become_another(unsigned left)
{
    LT_AUTO(lt_free) char *text = lt_format("%u", left - 1);

    if (left > 0)
        execl("/proc/self/exe", "restless", "--restless", text, NULL);
    _exit(127);
}

/* Shows neither environment nor arguments from now on, as a process inside execve does. */
static void become_blank(void)
{
    LT_BUF_AUTO text = {0};
    uint64_t v[52] = {0};
    char *save = NULL, *word;

    if (lt_file_read("/proc/self/stat", 4096, &text, NULL) < 0)
        _exit(127);
    word = strtok_r(strrchr(text.data, ')') + 2, " ", &save);
    for (int field = 3; word && field < 52; field++, word = strtok_r(NULL, " ", &save))
        v[field] = strtoull(word, NULL, 10);
    struct prctl_mm_map map = {.start_code = v[26],
                               .end_code = v[27],
                               .start_data = v[45],
                               .end_data = v[46],
                               .start_brk = v[47],
                               .brk = (uintptr_t)sbrk(0),
                               .start_stack = v[28],
                               .arg_start = v[48],
                               .arg_end = v[48],
                               .env_start = v[50],
                               .env_end = v[50],
                               .exe_fd = (uint32_t)-1};

    if (prctl(PR_SET_MM, PR_SET_MM_MAP, &map, sizeof map, 0) < 0)
        fprintf(stderr, "PR_SET_MM_MAP: %s\n", strerror(errno));
}

/* Until some moments after its worker died: whoever kills then must look again. */
static void stay_blank(pid_t worker, int told)
{
    become_blank();
    if (write(told, "", 1) < 0)
        _exit(127);
    while (getppid() == worker)
        usleep(500);
    usleep(30000);
}

/* As where there are none: found it must be by its environment. */
static void leave_cgroup(const char *cgroup)
{
    LT_AUTO(lt_free) char *path = lt_format("%s/../cgroup.procs", cgroup ? cgroup : "");
    FILE *procs = cgroup && cgroup[0] ? fopen(path, "w") : NULL;

    if (!procs)
        return;
    fprintf(procs, "%d\n", (int)getpid());
    fclose(procs);
}

static void child(const char *kind, const char *cgroup, pid_t worker, int told)
{
    static char *const nothing[] = {NULL};

    setsid();
    if (strcmp(kind, "naked") == 0) /* found it can be by its cgroup alone */
        execle("/bin/sleep", "sleep", "60", (char *)NULL, nothing);
    leave_cgroup(cgroup);
    if (strcmp(kind, "restless") == 0)
        become_another(50000);
    if (strcmp(kind, "blank") == 0)
        stay_blank(worker, told);
    execlp("sleep", "sleep", "60", NULL);
    _exit(127);
}

static void leave_child(struct fake *f, const char *kind)
{
    LT_AUTO(lt_free) char *path = lt_attempt_path(f->dir, "child");
    pid_t worker = getpid(), pid;
    int told[2];
    FILE *out;
    char c;

    if (pipe2(told, O_CLOEXEC) < 0)
        leave(99);
    pid = fork();
    if (pid == 0) {
        close(told[0]);
        child(kind, f->cgroup, worker, told[1]);
    }
    close(told[1]);
    if (read(told[0], &c, 1) < 0) /* it is what it is to be: another program, or blank */
        leave(99);
    close(told[0]);
    out = fopen(path, "a");
    fprintf(out, "%d\n", (int)pid);
    fclose(out);
}

static void show_env(void)
{
    static const char *const names[] = {"RANK",         "WORLD_SIZE",      "LOCAL_RANK",
                                        "LOCAL_WORLD_SIZE", "LTD_JOB",     "LT_TOKEN",
                                        "OMP_NUM_THREADS",  "PMI_RANK",    "MASTER_PORT"};
    int ids[64], n = lt_cpu_ids(ids, 64);

    printf("CPUS=");
    for (int i = 0; i < n && i < 64; i++)
        printf("%s%d", i ? "," : "", ids[i]);
    printf("\n");
    for (size_t i = 0; i < LT_ARRAY_LEN(names); i++)
        printf("%s=%s\n", names[i], getenv(names[i]) ? getenv(names[i]) : "(unset)");
    fflush(stdout);
}

static void word(struct fake *f, const char *w)
{
    if (strcmp(w, "print") == 0) {
        printf("hello\n");
        fflush(stdout);
        fprintf(stderr, "oops\n");
    } else if (strcmp(w, "step") == 0) {
        step(f);
    } else if (strcmp(w, "wait") == 0) {
        do_wait(f);
    } else if (strcmp(w, "hang") == 0) {
        signal(SIGTERM, SIG_IGN);
        for (;;)
            pause();
    } else if (strcmp(w, "finish") == 0) {
        finish(f, LT__V1__JOB_RESULT__SUCCEEDED, LT__V1__FAILURE_CLASS__CLASS_NONE, NULL);
        leave(0);
    } else if (strcmp(w, "fail") == 0) {
        finish(f, LT__V1__JOB_RESULT__FAILED, LT__V1__FAILURE_CLASS__CLASS_DATA,
               "label out of range");
        leave(1);
    } else if (strcmp(w, "exit3") == 0) {
        leave(3);
    } else if (strcmp(w, "exit106") == 0) {
        leave(106);
    } else if (strcmp(w, "child") == 0) {
        leave_child(f, w);
    } else if (strcmp(w, "restless") == 0 || strcmp(w, "blank") == 0 || strcmp(w, "naked") == 0) {
        leave_child(f, w);
    } else if (strcmp(w, "lines") == 0) {
        do_lines(f);
    } else if (strcmp(w, "join") == 0) {
        join(f);
    } else if (strcmp(w, "loop") == 0) {
        do_loop(f);
    } else if (strcmp(w, "flood") == 0) {
        flood();
    } else if (strcmp(w, "env") == 0) {
        show_env();
    }
}

static int plan_only(void)
{
    static char spec[1 << 20];
    size_t n = fread(spec, 1, sizeof spec, stdin);
    LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(0);
    Lt__V1__CheckDone done = LT__V1__CHECK_DONE__INIT;
    Lt__V1__Checked cost = LT__V1__CHECKED__INIT;
    Lt__V1__Problem problem = LT__V1__PROBLEM__INIT, *list = &problem;
    const Lt__V1__JobSpec *s;
    ProtobufCMessage *m;
    uint8_t out[4096];

    if (lt_wire_decode(&lt__v1__job_spec__descriptor, spec, n, arena, &m, NULL) < 0)
        return 1;
    s = (const Lt__V1__JobSpec *)m;
    if (strcmp(s->plan->name, "slow") == 0)
        pause();
    if (strcmp(s->plan->name, "crash") == 0)
        raise(SIGKILL);
    fprintf(stderr, "progress reading data\n");
    problem.path = (char *)"model.layers[3]";
    problem.reason = (char *)"shapes don't fit";
    done.problems = &list;
    done.n_problems = strcmp(s->plan->name, "bad") == 0;
    cost.has_memory_bytes = true;
    cost.memory_bytes = n;
    done.cost = done.n_problems ? NULL : &cost;
    fwrite(out, 1, lt__v1__check_done__pack(&done, out), stdout);
    return 0;
}

int main(int argc, char **argv)
{
    LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(0);
    struct fake f = {.dir = argv[1]};
    LT_BUF_AUTO bytes = {0};
    ProtobufCMessage *m;

    if (argc > 2 && strcmp(argv[1], "--restless") == 0)
        become_another((unsigned)atoi(argv[2]));
    if (argc > 1 && strcmp(argv[1], "--plan-only") == 0)
        leave(plan_only());
    if (argc > 1 && strcmp(argv[1], "--libraries") == 0)
        leave(printf("mpich 9.8.7\nucx none\n") < 0);
    if (lt_file_read(lt_attempt_path(f.dir, "spec"), 1 << 20, &bytes, NULL) < 0 ||
        lt_wire_decode(&lt__v1__start_rank__descriptor, bytes.data, bytes.len, arena, &m, NULL) <
            0 ||
        lt_page_map(lt_attempt_path(f.dir, "page"), &f.page, NULL) < 0 ||
        lt_journal_open(lt_attempt_path(f.dir, "journal"), &f.journal, NULL) < 0)
        return 99;
    f.cgroup = ((Lt__V1__StartRank *)m)->cgroup;
    f.start = (const Lt__V1__StartRank *)m;
    atomic_store(&f.page->phase, LT_PHASE_TRAINING);
    for (char *save = NULL, *w = strtok_r(((Lt__V1__StartRank *)m)->job_name, " ", &save); w;
         w = strtok_r(NULL, " ", &save))
        word(&f, w);
    leave(0);
}
