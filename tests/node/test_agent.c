/* test_agent.c - an agent in its own process, real shims, a worker that follows a script, a
 * coordinator played here */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/mem.h"
#include "sys/attempt.h"
#include "sys/file.h"
#include "sys/lock.h"
#include "sys/paths.h"
#include "tests/node/world.h"
#include "tests/support/tmp.h"

#define STARTED LT__V1__AGENT_MESSAGE__MESSAGE_RANK_STARTED
#define FAILED_ LT__V1__AGENT_MESSAGE__MESSAGE_START_FAILED
#define RECORD LT__V1__AGENT_MESSAGE__MESSAGE_RECORD
#define GONE LT__V1__AGENT_MESSAGE__MESSAGE_RANK_GONE
#define SAMPLES LT__V1__AGENT_MESSAGE__MESSAGE_SAMPLES
#define READ_REPLY LT__V1__AGENT_MESSAGE__MESSAGE_READ_REPLY
#define CHECK_DONE LT__V1__AGENT_MESSAGE__MESSAGE_CHECK_DONE
#define CHECK_PROGRESS LT__V1__AGENT_MESSAGE__MESSAGE_CHECK_PROGRESS

static struct world w;
static size_t at;

/* Lives as long as seven later ones. */
static char *read_text(const char *path, size_t *n)
{
    static char *ring[8];
    static unsigned next;
    char **slot = &ring[next++ % LT_ARRAY_LEN(ring)];

    free(*slot);
    *slot = lt_test_read(path, n);
    return *slot;
}

static int setup(void **state)
{
    (void)state;
    world_open(&w);
    at = 0;
    agent_start(&w);
    world_welcome(&w, &at);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    world_close(&w);
    return 0;
}

static const Lt__V1__RankExited *gone(const char *job)
{
    return world_wait(&w, &at, GONE, job)->rank_gone->exited;
}

static bool alive(pid_t pid)
{
    struct lt_identity id;

    return lt_identity_of(pid, &id) == 0 && lt_identity_alive(&id);
}

/* For what ends by itself a moment later, outside our sight. */
static void wait_dead(pid_t pid)
{
    for (int i = 0; i < 1000 && alive(pid); i++)
        world_spin(&w, 10);
    assert_false(alive(pid));
}

static void test_hello_has_inventory(void **state)
{
    const Lt__V1__Hello *h = w.got[0]->hello;

    (void)state;
    assert_string_equal(h->node, "n1");
    assert_true(h->inventory->cpus >= 1);
    assert_true(h->inventory->memory_bytes > 1u << 20);
    assert_int_equal(strlen(h->inventory->build), 16);
    assert_int_equal(h->n_attempts, 0);
}

/* Asked for behind the welcome, told when known; a later hello has it. */
static void test_the_libraries_are_told(void **state)
{
    const Lt__V1__Inventory *i;

    (void)state;
    assert_null(w.got[0]->hello->inventory->mpich);
    i = world_wait(&w, &at, LT__V1__AGENT_MESSAGE__MESSAGE_INVENTORY, NULL)->inventory;
    assert_string_equal(i->mpich, "9.8.7");
    assert_string_equal(i->ucx, "none");
    assert_true(i->cpus >= 1);
    world_leave(&w);
    world_return(&w);
    i = world_wait(&w, &at, LT__V1__AGENT_MESSAGE__MESSAGE_HELLO, NULL)->hello->inventory;
    assert_string_equal(i->mpich, "9.8.7");
}

static void test_rank_runs_and_ends(void **state)
{
    const Lt__V1__RankExited *x;
    char *text;

    (void)state;
    world_start_rank(&w, "a", 1, "print step step finish");
    assert_true(world_wait(&w, &at, STARTED, "a")->rank_started->pid > 1);
    assert_int_equal(world_wait(&w, &at, RECORD, "a")->record->record->metrics->step, 0);
    assert_int_equal(world_wait(&w, &at, RECORD, "a")->record->record->metrics->step, 1);
    assert_int_equal(world_wait(&w, &at, RECORD, "a")->record->record->finished->result,
                     LT__V1__JOB_RESULT__SUCCEEDED);
    x = gone("a");
    assert_int_equal(x->result, LT__V1__JOB_RESULT__SUCCEEDED);
    assert_int_equal(x->class_, LT__V1__FAILURE_CLASS__CLASS_NONE);
    assert_int_equal(x->status, 0);
    text = read_text(lt_test_path(w.run, "logs/1/0.out"), NULL);
    assert_string_equal(text, "hello\n");
    text = read_text(lt_test_path(w.run, "logs/1/0.err"), NULL);
    assert_string_equal(text, "oops\n");
    assert_true(lt_file_exists(lt_test_path(w.run, "plan.yaml")));
    assert_true(lt_file_exists(lt_test_path(w.run, "plan.pb")));
}

static void test_ends_are_classified(void **state)
{
    static const struct {
        const char *job, *script;
        Lt__V1__FailureClass class;
        int status;
        const char *reason;
    } cases[] = {
        {"c1", "fail", LT__V1__FAILURE_CLASS__CLASS_DATA, 1, "label out of range"},
        {"c2", "exit3", LT__V1__FAILURE_CLASS__CLASS_JOB, 3, "exit code 3"},
        {"c3", "step", LT__V1__FAILURE_CLASS__CLASS_JOB, 0, "exit code 0 without a last record"},
        {"c4", "exit106", LT__V1__FAILURE_CLASS__CLASS_INFRASTRUCTURE, 106, "couldn't record its end"},
    };

    (void)state;
    for (size_t i = 0; i < LT_ARRAY_LEN(cases); i++) {
        const Lt__V1__RankExited *x;

        world_start_rank(&w, cases[i].job, 1, cases[i].script);
        x = gone(cases[i].job);
        assert_int_equal(x->class_, cases[i].class);
        assert_int_equal(x->status, cases[i].status);
        assert_non_null(strstr(x->reason, cases[i].reason));
    }
}

/* Every line of /proc/PID/cgroup, as one text. */
static char *cgroups_of(pid_t pid)
{
    LT_AUTO(lt_free) char *path = lt_format("/proc/%d/cgroup", (int)pid);
    char *text = read_text(path, NULL);

    assert_non_null(text);
    return text;
}

static void test_rank_has_its_own_cgroup(void **state)
{
    const char *limits = w.got[0]->hello->inventory->memory_limits;
    bool expected = strcmp(limits, "none") != 0;
    LT_AUTO(lt_free) char *spec = world_attempt_file(&w, "g", "spec");
    LT_AUTO(lt_free) char *group = lt_format("ltd-%s.1.0", world_job(&w, "g"));
    pid_t pid;
    size_t n;

    (void)state;
    world_start_rank(&w, "g", 1, "step wait");
    pid = (pid_t)world_wait(&w, &at, STARTED, "g")->rank_started->pid;
    assert_int_equal(strstr(cgroups_of(pid), group) != NULL, expected);
    world_signal(&w, "g", 1, LT__V1__RANK_SIGNAL__SIGNAL_STOP);
    gone("g");
    if (expected) {
        const char *bytes = read_text(spec, &n);
        const char *folder = memmem(bytes, n, "/sys/fs/cgroup", 14);

        assert_non_null(folder); /* the path is the last field: its end is the text's */
        for (int i = 0; i < 1000 && lt_file_exists(folder); i++)
            world_spin(&w, 10);
        assert_false(lt_file_exists(folder));
    }
}

static void test_killed_worker_is_infrastructure(void **state)
{
    const Lt__V1__RankExited *x;

    (void)state;
    world_start_rank(&w, "k", 1, "step hang");
    kill((pid_t)world_wait(&w, &at, STARTED, "k")->rank_started->pid, SIGKILL);
    x = gone("k");
    assert_int_equal(x->class_, LT__V1__FAILURE_CLASS__CLASS_INFRASTRUCTURE);
    assert_int_equal(x->status, 128 + SIGKILL);
    assert_false(x->has_result);
}

static void test_killed_shim_takes_worker_along(void **state)
{
    LT_AUTO(lt_free) char *dir = world_attempt_file(&w, "s", "");
    const Lt__V1__RankExited *x;
    struct lt_identity shim;
    pid_t worker;

    (void)state;
    world_start_rank(&w, "s", 1, "hang");
    worker = (pid_t)world_wait(&w, &at, STARTED, "s")->rank_started->pid;
    assert_int_equal(lt_attempt_read_identity(dir, "shim", &shim, NULL), 0);
    kill(shim.pid, SIGKILL);
    x = gone("s");
    assert_int_equal(x->class_, LT__V1__FAILURE_CLASS__CLASS_INFRASTRUCTURE);
    assert_false(x->has_status);
    assert_false(alive(worker));
}

static pid_t child_of(const char *job)
{
    LT_AUTO(lt_free) char *path = world_attempt_file(&w, job, "child");
    char *text = NULL;

    for (int i = 0; i < 1000 && (!(text = read_text(path, NULL)) || !strchr(text, '\n')); i++)
        world_spin(&w, 10);
    assert_non_null(text);
    assert_true(atoi(text) > 1);
    return (pid_t)atoi(text);
}

/* By the agent, when the shim is killed. */
static void die_with_shim(const char *job, const char *script)
{
    LT_AUTO(lt_free) char *dir = world_attempt_file(&w, job, "");
    LT_AUTO(lt_free) char *path = world_attempt_file(&w, job, "child");
    struct lt_identity shim;
    char *text, *line, *save = NULL;

    world_start_rank(&w, job, 1, script);
    world_wait(&w, &at, RECORD, job);
    text = read_text(path, NULL);
    assert_int_equal(lt_attempt_read_identity(dir, "shim", &shim, NULL), 0);
    kill(shim.pid, SIGKILL);
    gone(job);
    for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
        wait_dead((pid_t)atoi(line));
}

static void test_nothing_is_left_behind(void **state)
{
    pid_t child;

    (void)state;
    world_start_rank(&w, "l1", 1, "child finish"); /* by the shim, when the worker ends */
    child = child_of("l1");
    gone("l1");
    wait_dead(child);
    die_with_shim("l2", "child step hang");
    if (strcmp(w.got[0]->hello->inventory->memory_limits, "none") != 0)
        die_with_shim("n1", "naked child step hang"); /* without a token, in its cgroup */
    die_with_shim("b1", "blank child blank step hang"); /* about to be another program */
    die_with_shim("r1", "restless restless restless restless restless restless step hang");
}

/* Until what was acknowledged is on disk: at the agent's next tick. */
static void wait_for_ack(const char *job, uint64_t offset)
{
    LT_AUTO(lt_free) char *path = world_attempt_file(&w, job, "ack");
    uint64_t acked = 0;

    for (int i = 0; i < 6000 && acked != offset; i++) {
        char *text = lt_test_read(path, NULL);

        acked = text ? strtoull(text, NULL, 10) : 0;
        free(text);
        world_spin(&w, 10);
    }
    assert_int_equal(acked, offset);
}

static void test_killed_agent_adopts_again(void **state)
{
    const Lt__V1__Hello *h;
    uint64_t offset;
    pid_t pid;

    (void)state;
    world_start_rank(&w, "r", 1, "step wait");
    pid = (pid_t)world_wait(&w, &at, STARTED, "r")->rank_started->pid;
    offset = world_wait(&w, &at, RECORD, "r")->record->end_offset;
    wait_for_ack("r", offset);
    agent_kill(&w);
    assert_true(alive(pid));
    agent_start(&w);
    h = world_wait(&w, &at, LT__V1__AGENT_MESSAGE__MESSAGE_HELLO, NULL)->hello;
    assert_int_equal(h->n_attempts, 1);
    assert_string_equal(h->attempts[0]->job, world_job(&w, "r"));
    assert_int_equal(h->attempts[0]->pid, pid);
    assert_true(h->attempts[0]->running);
    assert_int_equal(h->attempts[0]->journal_offset, offset);
    at--;
    world_welcome(&w, &at);
    world_signal(&w, "r", 1, LT__V1__RANK_SIGNAL__SIGNAL_STOP);
    assert_int_equal(world_wait(&w, &at, RECORD, "r")->record->record->finished->result,
                     LT__V1__JOB_RESULT__STOPPED);
    assert_int_equal(gone("r")->result, LT__V1__JOB_RESULT__STOPPED);
}

static void test_end_while_agent_is_away(void **state)
{
    pid_t pid;

    (void)state;
    world_start_rank(&w, "e", 1, "step hang");
    pid = (pid_t)world_wait(&w, &at, STARTED, "e")->rank_started->pid;
    world_wait(&w, &at, RECORD, "e");
    agent_kill(&w);
    kill(pid, SIGKILL);
    wait_dead(pid);
    agent_start(&w);
    world_welcome(&w, &at);
    assert_int_equal(gone("e")->status, 128 + SIGKILL);
}

static void test_records_come_again_until_acknowledged(void **state)
{
    (void)state;
    w.ack = false;
    world_start_rank(&w, "n", 1, "step step finish");
    gone("n");
    agent_kill(&w);
    agent_start(&w);
    world_welcome(&w, &at);
    assert_int_equal(world_wait(&w, &at, RECORD, "n")->record->record->metrics->step, 0);
    assert_int_equal(world_wait(&w, &at, RECORD, "n")->record->record->metrics->step, 1);
    assert_int_equal(gone("n")->result, LT__V1__JOB_RESULT__SUCCEEDED);
}

static void test_start_is_idempotent_and_fenced(void **state)
{
    uint32_t pid;

    (void)state;
    world_start_rank(&w, "i", 2, "wait");
    pid = world_wait(&w, &at, STARTED, "i")->rank_started->pid;
    world_start_rank(&w, "i", 2, "wait");
    assert_int_equal(world_wait(&w, &at, STARTED, "i")->rank_started->pid, pid);
    world_start_rank(&w, "i", 1, "wait");
    assert_non_null(
        strstr(world_wait(&w, &at, FAILED_, "i")->start_failed->reason, "newer generation"));
    world_signal(&w, "i", 1,
                 LT__V1__RANK_SIGNAL__SIGNAL_KILL); /* of an old generation: nothing happens */
    world_signal(&w, "i", 2, LT__V1__RANK_SIGNAL__SIGNAL_CANCEL);
    assert_int_equal(gone("i")->result, LT__V1__JOB_RESULT__CANCELLED);
}

static void test_bad_starts_fail(void **state)
{
    (void)state;
    world_start_rank(&w, "../x", 1, "wait");
    world_wait(&w, &at, FAILED_, "../x");
    lt_free(w.run);
    w.run = lt_strdup("/proc/nowhere/run");
    world_start_rank(&w, "b", 1, "wait");
    assert_non_null(
        strstr(world_wait(&w, &at, FAILED_, "b")->start_failed->reason, "/proc/nowhere"));
}

static void test_ladder_ends_a_deaf_worker(void **state)
{
    const Lt__V1__RankExited *x;

    (void)state;
    world_start_rank(&w, "d", 1, "step hang");
    world_wait(&w, &at, RECORD, "d");
    world_signal(&w, "d", 1, LT__V1__RANK_SIGNAL__SIGNAL_CANCEL);
    x = gone("d"); /* it ignores SIGTERM */
    assert_int_equal(x->status, 128 + SIGKILL);
}

static void test_forget_removes_the_folder(void **state)
{
    LT_AUTO(lt_free) char *spec = world_attempt_file(&w, "f", "spec");
    Lt__V1__ForgetAttempt m = LT__V1__FORGET_ATTEMPT__INIT;

    (void)state;
    world_start_rank(&w, "f", 1, "finish");
    gone("f");
    assert_true(lt_file_exists(spec));
    m.job = (char *)world_job(&w, "f");
    m.has_attempt = true;
    m.attempt = 1;
    world_send(&w, LT__V1__COORDINATOR_MESSAGE__MESSAGE_FORGET, &m);
    for (int i = 0; i < 1000 && lt_file_exists(spec); i++)
        world_spin(&w, 10);
    assert_false(lt_file_exists(spec));
}

static void test_samples_show_the_page(void **state)
{
    const Lt__V1__Sample *s;

    (void)state;
    world_start_rank(&w, "p", 1, "step step step wait");
    do {
        s = world_wait(&w, &at, SAMPLES, NULL)->samples->samples[0];
    } while (s->step < 3);
    assert_string_equal(s->job, world_job(&w, "p"));
    assert_string_equal(s->phase, "training");
    world_signal(&w, "p", 1, LT__V1__RANK_SIGNAL__SIGNAL_STOP);
    gone("p");
}

static void test_environment_of_a_rank(void **state)
{
    const char *job = world_job(&w, "v");
    LT_AUTO(lt_free) char *want =
        lt_format("RANK=0\nWORLD_SIZE=1\nLOCAL_RANK=0\nLOCAL_WORLD_SIZE=1\nLTD_JOB=%s\n"
                  "LT_TOKEN=%s.1.0\nOMP_NUM_THREADS=1\n", job, job);
    char *text;

    (void)state;
    world_start_rank(&w, "v", 1, "env finish");
    gone("v");
    text = read_text(lt_test_path(w.run, "logs/1/0.out"), NULL);
    assert_non_null(strstr(text, want));
    assert_non_null(strstr(text, "PMI_RANK=(unset)"));
}

static const Lt__V1__ReadReply *read_file(uint64_t id, const char *path, uint64_t offset,
                                          uint32_t wait_ms)
{
    Lt__V1__ReadRequest m = LT__V1__READ_REQUEST__INIT;

    m.has_id = m.has_offset = m.has_max_bytes = m.has_wait_ms = true;
    m.id = id;
    m.run_dir = w.run;
    m.path = (char *)path;
    m.offset = offset;
    m.max_bytes = 4;
    m.wait_ms = wait_ms;
    world_send(&w, LT__V1__COORDINATOR_MESSAGE__MESSAGE_READ, &m);
    return world_wait(&w, &at, READ_REPLY, NULL)->read_reply;
}

static void test_reads_stay_in_the_run(void **state)
{
    const Lt__V1__ReadReply *r;

    (void)state;
    mkdir(w.run, 0700);
    mkdir(lt_test_path(w.run, "sub"), 0700);
    lt_test_write(lt_test_path(w.run, "file"), "abcdef", 6);
    lt_test_write(lt_test_path(w.dir, "secret"), "x", 1);
    r = read_file(1, "file", 1, 0);
    assert_int_equal(r->id, 1);
    assert_int_equal(r->size, 6);
    assert_int_equal(r->data.len, 4);
    assert_memory_equal(r->data.data, "bcde", 4);
    assert_int_equal(read_file(2, "../secret", 0, 0)->error, EXDEV);
    assert_int_not_equal(read_file(3, "/etc/passwd", 0, 0)->error, 0);
    assert_int_equal(read_file(4, "none", 0, 0)->error, ENOENT);
    r = read_file(5, "", 0, 0);
    assert_int_equal(r->n_entries, 2);
    assert_string_equal(r->entries[0], "file");
    assert_string_equal(r->entries[1], "sub/");
    r = read_file(6, "file", 6, 30); /* nothing comes: an empty answer when the time is over */
    assert_int_equal(r->data.len, 0);
    assert_int_equal(r->error, 0);
}

/* More names than a message holds: an error of that request's, not the session's end. */
static void test_a_list_too_long_is_refused(void **state)
{
    const Lt__V1__ReadReply *r;
    LT_AUTO(lt_free) char *file = NULL, *path = NULL;

    (void)state;
    mkdir(w.run, 0700);
    file = lt_format("%s/file", w.run);
    lt_test_write(file, "", 0);
    for (int i = 0; i < 30000; i++) {
        path = lt_format("%s/%0200d", w.run, i);
        assert_int_equal(link(file, path), 0);
        lt_free(path);
    }
    path = NULL;
    r = read_file(1, "", 0, 0);
    assert_int_equal(r->error, EFBIG);
    assert_int_equal(r->n_entries, 0);
    assert_int_equal(read_file(2, "file", 0, 0)->error, 0);
}

static void test_read_waits_for_bytes(void **state)
{
    const Lt__V1__ReadReply *r;

    (void)state;
    world_start_rank(&w, "w", 1, "print wait"); /* its log doesn't exist yet when the read comes */
    r = read_file(1, "logs/1/0.out", 0, 20000);
    assert_int_equal(r->data.len, 4);
    assert_memory_equal(r->data.data, "hell", 4);
    world_signal(&w, "w", 1, LT__V1__RANK_SIGNAL__SIGNAL_STOP);
    gone("w");
}

static const Lt__V1__CheckDone *check(const char *job, const char *name)
{
    Lt__V1__CheckRequest m = LT__V1__CHECK_REQUEST__INIT;
    Lt__V1__JobSpec spec = LT__V1__JOB_SPEC__INIT;
    Lt__V1__TrainingPlan plan = LT__V1__TRAINING_PLAN__INIT;

    plan.name = (char *)name;
    spec.kind_case = LT__V1__JOB_SPEC__KIND_PLAN;
    spec.plan = &plan;
    m.job = (char *)world_job(&w, job);
    m.spec = &spec;
    world_send(&w, LT__V1__COORDINATOR_MESSAGE__MESSAGE_CHECK, &m);
    return world_wait(&w, &at, CHECK_DONE, job)->check_done;
}

/* Whether somebody looked at the plan for that message, the last one. */
static bool looked_since(size_t before)
{
    size_t progress = 0;

    for (size_t i = before; i < w.n; i++)
        progress += w.got[i]->message_case == CHECK_PROGRESS;
    return progress > 0;
}

static void test_checks(void **state)
{
    const Lt__V1__CheckDone *d;
    size_t before;

    (void)state;
    d = check("j1", "good");
    assert_int_equal(d->n_problems, 0);
    assert_true(d->cost->memory_bytes > 0);
    before = w.n;
    d = check("j2", "good"); /* from the cache, under its own name */
    assert_int_equal(d->n_problems, 0);
    assert_false(looked_since(before));
    d = check("j3", "bad");
    assert_int_equal(d->n_problems, 1);
    assert_string_equal(d->problems[0]->path, "model.layers[3]");
    before = w.n;
    d = check("j5", "bad"); /* what it lacked may be there now */
    assert_int_equal(d->n_problems, 1);
    assert_true(looked_since(before));
    d = check("j4", "crash");
    assert_int_equal(d->n_problems, 1);
    assert_non_null(strstr(d->problems[0]->reason, "signal 9"));
}

/* What the agent may open from now on: nothing, or as much as before. */
static void files_of_agent(bool any)
{
    static struct rlimit before;
    struct rlimit now;

    if (!any) {
        assert_int_equal(prlimit(w.agent, RLIMIT_NOFILE, NULL, &before), 0);
        now = (struct rlimit){3, before.rlim_max};
    }
    assert_int_equal(prlimit(w.agent, RLIMIT_NOFILE, any ? &before : &now, NULL), 0);
}

/* What can't be read just now isn't damaged, and who isn't seen isn't dead. */
static void test_ends_without_descriptors_are_told_later(void **state)
{
    const Lt__V1__RankExited *x;
    pid_t pid;

    (void)state;
    w.command = "exit 7";
    world_start_rank(&w, "y0", 1, ""); /* everything has been done once */
    assert_int_equal(gone("y0")->status, 7);
    w.command = "while [ ! -e go ]; do sleep 0.01; done; exit 7";
    world_start_rank(&w, "y1", 1, "");
    pid = (pid_t)world_wait(&w, &at, STARTED, "y1")->rank_started->pid;
    files_of_agent(false);
    lt_test_write(lt_test_path(w.run, "go"), "", 0);
    wait_dead(pid);
    world_spin(&w, 600); /* the agent notices */
    files_of_agent(true);
    x = gone("y1");
    assert_int_equal(x->status, 7);
    assert_int_equal(x->class_, LT__V1__FAILURE_CLASS__CLASS_JOB);
}

static void test_records_without_descriptors_are_sent_later(void **state)
{
    LT_AUTO(lt_free) char *wake = world_attempt_file(&w, "y2", "wake");
    pid_t pid;

    (void)state;
    world_start_rank(&w, "y2", 1, "wait");
    pid = (pid_t)world_wait(&w, &at, STARTED, "y2")->rank_started->pid;
    assert_int_equal(unlink(wake), 0); /* ZeroMQ would take the lack for our end */
    files_of_agent(false);
    world_signal(&w, "y2", 1, LT__V1__RANK_SIGNAL__SIGNAL_STOP);
    wait_dead(pid);
    world_spin(&w, 600);
    files_of_agent(true);
    assert_int_equal(world_wait(&w, &at, RECORD, "y2")->record->record->finished->result,
                     LT__V1__JOB_RESULT__STOPPED);
    assert_int_equal(gone("y2")->result, LT__V1__JOB_RESULT__STOPPED);
}

static void test_second_agent_is_refused(void **state)
{
    pid_t first = w.agent;
    int code;

    (void)state;
    agent_start(&w);
    for (int i = 0; i < 1000 && alive(w.agent); i++)
        world_spin(&w, 10);
    code = agent_stop(&w);
    w.agent = first;
    assert_int_equal(code, 3);
    assert_non_null(
        strstr(read_text(lt_test_path(w.dir, "agent.log"), NULL), "another agent uses"));
}

static void test_orderly_end_leaves_ranks_alone(void **state)
{
    pid_t pid;

    (void)state;
    world_start_rank(&w, "o", 1, "hang");
    pid = (pid_t)world_wait(&w, &at, STARTED, "o")->rank_started->pid;
    assert_int_equal(agent_stop(&w), 0);
    assert_true(alive(pid));
    agent_start(&w);
    world_welcome(&w, &at);
    world_signal(&w, "o", 1, LT__V1__RANK_SIGNAL__SIGNAL_KILL);
    assert_int_equal(gone("o")->status, 128 + SIGKILL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(hello_has_inventory),
        TEST(the_libraries_are_told),
        TEST(rank_runs_and_ends),
        TEST(ends_are_classified),
        TEST(rank_has_its_own_cgroup),
        TEST(killed_worker_is_infrastructure),
        TEST(killed_shim_takes_worker_along),
        TEST(nothing_is_left_behind),
        TEST(killed_agent_adopts_again),
        TEST(end_while_agent_is_away),
        TEST(records_come_again_until_acknowledged),
        TEST(start_is_idempotent_and_fenced),
        TEST(bad_starts_fail),
        TEST(ladder_ends_a_deaf_worker),
        TEST(forget_removes_the_folder),
        TEST(samples_show_the_page),
        TEST(environment_of_a_rank),
        TEST(reads_stay_in_the_run),
        TEST(a_list_too_long_is_refused),
        TEST(read_waits_for_bytes),
        TEST(checks),
        TEST(ends_without_descriptors_are_told_later),
        TEST(records_without_descriptors_are_sent_later),
        TEST(second_agent_is_refused),
        TEST(orderly_end_leaves_ranks_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
