/* fold.c - the fold's message in memory, and readers of a job's spec
 *
 * The fold is the generated struct itself, on the heap, so that a snapshot is
 * protobuf_c_message_pack() and nothing has to be kept in step by hand. Strings and arrays in it
 * come from base/mem.h, whose allocator is malloc, as protobuf-c's own.
 */
#include "daemon/core/state.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "proto/plan.h"

Lt__V1__JobFold *lt_fold_new(void)
{
    Lt__V1__JobFold *f = lt_malloc(sizeof *f);

    lt__v1__job_fold__init(f);
    return f;
}

void lt_fold_free(Lt__V1__JobFold *f)
{
    if (f)
        lt__v1__job_fold__free_unpacked(f, NULL);
}

void lt_fold_string(char **slot, const char *value)
{
    char *copy = value ? lt_strdup(value) : NULL;

    lt_free(*slot);
    *slot = copy;
}

ProtobufCMessage *lt_message_clone(const ProtobufCMessage *m)
{
    size_t n = protobuf_c_message_get_packed_size(m);
    uint8_t *data = lt_malloc(n);
    ProtobufCMessage *copy;

    protobuf_c_message_pack(m, data);
    copy = protobuf_c_message_unpack(m->descriptor, NULL, n, data);
    lt_free(data);
    assert(copy);
    return copy;
}

const Lt__V1__Job *lt_spec_job(const Lt__V1__JobSpec *spec)
{
    switch (spec ? spec->kind_case : LT__V1__JOB_SPEC__KIND__NOT_SET) {
    case LT__V1__JOB_SPEC__KIND_PLAN:
        return spec->plan->job;
    case LT__V1__JOB_SPEC__KIND_COMMAND:
        return spec->command->job;
    case LT__V1__JOB_SPEC__KIND_EVALUATION:
        return spec->evaluation->job;
    default:
        return NULL;
    }
}

/* Of the program: what stands behind its last slash. */
static const char *command_name(const Lt__V1__Command *c)
{
    const char *slash = c->n_argv ? strrchr(c->argv[0], '/') : NULL;

    if (c->name)
        return c->name;
    return slash ? slash + 1 : c->n_argv ? c->argv[0] : NULL;
}

const char *lt_spec_name(const Lt__V1__JobSpec *spec)
{
    const Lt__V1__TrainingPlan *plan = spec ? lt_spec_plan(spec) : NULL;
    const char *name = plan ? plan->name : NULL;

    if (spec && spec->kind_case == LT__V1__JOB_SPEC__KIND_COMMAND)
        name = command_name(spec->command);
    return name ? name : "";
}

const char *lt_spec_kind(const Lt__V1__JobSpec *spec)
{
    if (spec && spec->kind_case == LT__V1__JOB_SPEC__KIND_COMMAND)
        return "command";
    return spec && spec->kind_case == LT__V1__JOB_SPEC__KIND_EVALUATION ? "evaluation" : "plan";
}

bool lt_spec_hold(const Lt__V1__JobSpec *spec)
{
    const Lt__V1__Job *job = lt_spec_job(spec);

    return job && job->has_hold && job->hold;
}

double lt_spec_time_limit_s(const Lt__V1__JobSpec *spec)
{
    const Lt__V1__Job *job = lt_spec_job(spec);

    return job && job->time_limit && job->time_limit->has_seconds ? job->time_limit->seconds : 0;
}

uint64_t lt_spec_grace_ns(const Lt__V1__JobSpec *spec)
{
    const Lt__V1__Duration *own =
        spec && spec->kind_case == LT__V1__JOB_SPEC__KIND_COMMAND ? spec->command->grace : NULL;

    if (!own || !(own->seconds > 0) || own->seconds > 1e6)
        return LT_LIMIT_GRACE_NS;
    return LT_MAX(LT_LIMIT_GRACE_NS, (uint64_t)(own->seconds * (double)LT_SECOND));
}

uint32_t lt_spec_ranks(const Lt__V1__JobSpec *spec)
{
    const Lt__V1__TrainingPlan *plan = spec ? lt_spec_plan(spec) : NULL;
    const Lt__V1__Trainer *t = plan ? plan->trainer : NULL;
    uint64_t n = 1;

    if (t && t->devices && t->devices->value_case == LT__V1__COUNT_OR_AUTO__VALUE_COUNT)
        n = t->devices->count;
    if (spec && spec->kind_case == LT__V1__JOB_SPEC__KIND_COMMAND)
        n = spec->command->nproc;
    return (uint32_t)LT_MIN(LT_MAX(n, 1), LT_RANKS_MAX);
}

int64_t lt_fold_priority(const Lt__V1__JobFold *f)
{
    const Lt__V1__Job *job = lt_spec_job(f->spec);

    return job && job->has_priority ? job->priority : 0;
}

/* From `reserved` to `queued` or `done`: also between attempts, so that a restart needs no new
 * place. */
bool lt_fold_holds_cores(const Lt__V1__JobFold *f)
{
    return f->reserved && f->state >= LT__V1__JOB_STATE__RESERVED &&
           f->state < LT__V1__JOB_STATE__DONE;
}
