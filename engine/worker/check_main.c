/* check_main.c - lt-worker --plan-only and --dump-passes
 *
 * The bytes come from outside: they go through the wire check and level 1 first. A refused plan is
 * an answer, not a failure.
 */
#include "engine/worker/check_main.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/problem.h"
#include "engine/comm/comm.h"
#include "engine/train/train.h"
#include "engine/worker/backend.h"
#include "engine/worker/command.h"
#include "lt/v1/agent.pb-c.h"
#include "proto/plan.h"
#include "proto/wire.h"
#include "sys/file.h"
#include "sys/log.h"
#include "sys/paths.h"

#define SPEC_MAX (64u << 20)
#define ARENA_CAP (512u << 20)

static int read_all(int fd, struct lt_buf *out, struct lt_error *err)
{
    char chunk[65536];
    ssize_t n;

    while ((n = read(fd, chunk, sizeof chunk)) > 0) {
        if (out->len + (size_t)n > SPEC_MAX)
            return lt_error_set(err, -EFBIG, "a spec of more than %u bytes", SPEC_MAX);
        lt_buf_append(out, chunk, (size_t)n);
    }
    return n < 0 ? lt_error_set(err, -errno, "stdin: %s", strerror(errno)) : 0;
}

static int write_all(const void *data, size_t n)
{
    return fwrite(data, 1, n, stdout) == n && fflush(stdout) == 0 ? 0 : -EIO;
}

static void on_progress(void *arg, const char *text)
{
    (void)arg;
    fprintf(stderr, "progress %s\n",
            text); /* the word tells ltd and ltctl from what else comes here */
}

static Lt__V1__Problem **problems_out(const struct lt_problems *p, struct lt_arena *a)
{
    Lt__V1__Problem **list = lt_arena_alloc(a, (p->len + 1) * sizeof *list);

    for (size_t i = 0; list && i < p->len; i++) {
        const struct lt_problem *from = &p->items[i];
        Lt__V1__Problem *to = lt_arena_alloc(a, sizeof *to);

        lt__v1__problem__init(to);
        to->path = from->path;
        to->reason = from->reason;
        to->remedy = from->remedy;
        to->has_line = to->has_column = from->line > 0;
        to->line = (uint32_t)from->line;
        to->column = (uint32_t)from->column;
        to->has_severity = true;
        to->severity =
            from->warning ? LT__V1__PROBLEM__SEVERITY__WARNING : LT__V1__PROBLEM__SEVERITY__ERROR;
        list[i] = to;
    }
    return list;
}

static int answer(const struct lt_problems *problems, const struct lt_train_cost *cost,
                  const struct lt_buf *report, struct lt_arena *arena)
{
    Lt__V1__CheckDone done = LT__V1__CHECK_DONE__INIT;
    Lt__V1__Checked checked = LT__V1__CHECKED__INIT;
    uint8_t *bytes;
    size_t n;
    int rc;

    done.problems = problems_out(problems, arena);
    done.n_problems = problems->len;
    if (!problems->errors) {
        done.cost = &checked;
        checked.has_memory_bytes = checked.has_flops_per_step = checked.has_parameters =
            checked.has_checkpoint_bytes = true;
        checked.memory_bytes = cost->memory_bytes;
        checked.flops_per_step = cost->flops_per_step;
        checked.parameters = cost->parameters;
        checked.checkpoint_bytes = cost->checkpoint_bytes;
        done.report_json = report->data;
    }
    n = lt__v1__check_done__get_packed_size(&done);
    bytes = lt_malloc(n + 1);
    lt__v1__check_done__pack(&done, bytes);
    rc = write_all(bytes, n);
    lt_free(bytes);
    return rc;
}

static int decode(const struct lt_buf *bytes, struct lt_arena *arena, Lt__V1__JobSpec **out,
                  struct lt_error *err)
{
    ProtobufCMessage *m = NULL;
    int rc = lt_wire_decode(&lt__v1__job_spec__descriptor, bytes->data, bytes->len, arena, &m, err);

    *out = (Lt__V1__JobSpec *)(void *)m;
    return rc;
}

/* What a plan's ranks meet by may be a plug-in, and need its library on this node: chosen as they choose. */
static void check_ranks(const Lt__V1__JobSpec *spec, struct lt_problems *problems)
{
    const Lt__V1__TrainingPlan *plan = lt_spec_plan(spec);
    struct lt_comm_config c = {.kind = getenv("LT_COMM"), .world = plan ? (int)lt_plan_world(plan) : 1};
    struct lt_error err = {0};

    if (c.world > 1 && lt_comm_check(&c, &err) < 0)
        lt_problem_add(problems, "trainer.devices", "1, or install what is missing on this node", "%s",
                       err.text);
}

static int check_bytes(const struct lt_buf *bytes, const struct lt_backend *backend,
                       const char *state_dir)
{
    LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(ARENA_CAP);
    LT_AUTO(lt_free) char *cache = lt_path_cache_dir();
    struct lt_train_check c = {
        .backend = backend, .cache_dir = cache, .blobs = state_dir, .progress = on_progress};
    struct lt_train_cost cost = {0};
    struct lt_problems problems = {0};
    LT_BUF_AUTO report = {0};
    struct lt_error err = {0};
    Lt__V1__JobSpec *spec;
    int rc;

    if (decode(bytes, arena, &spec, &err) < 0) {
        lt_problem_add(&problems, "", NULL, "%s", err.text);
    } else {
        lt_plan_validate(spec, &problems);
        c.spec = spec;
        if (!problems.errors) {
            lt_problems_done(
                &problems); /* warnings of level 1 were given where the plan was read */
            if (spec->kind_case == LT__V1__JOB_SPEC__KIND_COMMAND)
                lt_command_check(spec->command, &problems, &report);
            else
                lt_train_check(&c, &problems, &cost, &report);
            check_ranks(spec, &problems);
        }
    }
    rc = answer(&problems, &cost, &report, arena);
    lt_problems_done(&problems);
    return rc;
}

int lt_check_main(const char *state_dir)
{
    LT_BUF_AUTO bytes = {0};
    struct lt_error err = {0};
    const struct lt_backend *backend = lt_worker_backend(&err);

    if (!backend || read_all(STDIN_FILENO, &bytes, &err) < 0) {
        lt_err("%s", err.text);
        return 1;
    }
    return check_bytes(&bytes, backend, state_dir) < 0;
}

int lt_dump_passes_main(const char *plan_file)
{
    LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(ARENA_CAP);
    LT_AUTO(lt_free) char *cache = lt_path_cache_dir();
    LT_BUF_AUTO bytes = {0};
    LT_BUF_AUTO text = {0};
    struct lt_error err = {0};
    struct lt_train_check c = {.backend = lt_worker_backend(&err), .cache_dir = cache};
    Lt__V1__JobSpec *spec;
    int rc = c.backend ? lt_file_read(plan_file, SPEC_MAX, &bytes, &err) : -EINVAL;

    if (rc == 0)
        rc = decode(&bytes, arena, &spec, &err);
    if (rc == 0) {
        c.spec = spec;
        rc = lt_train_dump_passes(&c, &text, &err);
    }
    if (rc == 0)
        rc = write_all(text.data, text.len);
    if (rc < 0)
        lt_err("%s", err.text);
    return rc < 0;
}
