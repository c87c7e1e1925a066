/* names.c - the words in which states, results and events are shown and documented */
#include <stddef.h>
#include <string.h>
#include "base/auto.h"
#include "proto/plan.h"
#include "proto/reflect.h"

static const char *const state_names[] = {
    [LT__V1__JOB_STATE__NEW] = "new",
    [LT__V1__JOB_STATE__HELD_CHECKING] = "held(checking)",
    [LT__V1__JOB_STATE__HELD_USER] = "held(user)",
    [LT__V1__JOB_STATE__QUEUED] = "queued",
    [LT__V1__JOB_STATE__RESERVED] = "reserved",
    [LT__V1__JOB_STATE__STARTING] = "starting",
    [LT__V1__JOB_STATE__RUNNING] = "running",
    [LT__V1__JOB_STATE__RECOVERING] = "recovering",
    [LT__V1__JOB_STATE__STOPPING] = "stopping",
    [LT__V1__JOB_STATE__CLEANUP] = "cleanup",
    [LT__V1__JOB_STATE__DONE] = "done",
};

/* What `ltctl run` ends with; docs/exit-codes.md. 9: still running. */
static const struct {
    const char *name;
    int exit_code;
} results[] = {
    [LT__V1__JOB_RESULT__RESULT_NONE] = {"none", 9},
    [LT__V1__JOB_RESULT__SUCCEEDED] = {"succeeded", 0},
    [LT__V1__JOB_RESULT__FAILED] = {"failed", 100},
    [LT__V1__JOB_RESULT__CANCELLED] = {"cancelled", 103},
    [LT__V1__JOB_RESULT__TIMED_OUT] = {"timed_out", 104},
    [LT__V1__JOB_RESULT__STOPPED] = {"stopped", 107},
    [LT__V1__JOB_RESULT__PREEMPTED] = {"preempted", 105},
    [LT__V1__JOB_RESULT__REFUSED] = {"refused", 3},
};
enum { EXIT_INFRASTRUCTURE = 106 };

static const char *const class_names[] = {
    [LT__V1__FAILURE_CLASS__CLASS_NONE] = "none",
    [LT__V1__FAILURE_CLASS__CLASS_PLAN] = "plan",
    [LT__V1__FAILURE_CLASS__CLASS_DATA] = "data",
    [LT__V1__FAILURE_CLASS__CLASS_OOM] = "oom",
    [LT__V1__FAILURE_CLASS__CLASS_NONFINITE] = "nonfinite",
    [LT__V1__FAILURE_CLASS__CLASS_JOB] = "job",
    [LT__V1__FAILURE_CLASS__CLASS_INFRASTRUCTURE] = "infrastructure",
};

_Static_assert(LT_ARRAY_LEN(state_names) == LT__V1__JOB_STATE__DONE + 1, "a state without a name");
_Static_assert(LT_ARRAY_LEN(results) == LT__V1__JOB_RESULT__REFUSED + 1, "a result without a name");
_Static_assert(LT_ARRAY_LEN(class_names) == LT__V1__FAILURE_CLASS__CLASS_INFRASTRUCTURE + 1,
               "a class without a name");

const char *lt_job_state_name(Lt__V1__JobState s)
{
    return (size_t)s < LT_ARRAY_LEN(state_names) ? state_names[s] : "unknown";
}

const char *lt_job_result_name(Lt__V1__JobResult r)
{
    return (size_t)r < LT_ARRAY_LEN(results) ? results[r].name : "unknown";
}

const char *lt_failure_class_name(Lt__V1__FailureClass c)
{
    return (size_t)c < LT_ARRAY_LEN(class_names) ? class_names[c] : "unknown";
}

int lt_job_exit_code(Lt__V1__JobResult r, Lt__V1__FailureClass c)
{
    if (r == LT__V1__JOB_RESULT__FAILED && c == LT__V1__FAILURE_CLASS__CLASS_INFRASTRUCTURE)
        return EXIT_INFRASTRUCTURE;
    return (size_t)r < LT_ARRAY_LEN(results) ? results[r].exit_code : results[0].exit_code;
}

/* The event table is the oneof itself: a type's name is its member's. */
const char *lt_event_type_name(const Lt__V1__Event *e)
{
    const ProtobufCFieldDescriptor *f =
        e->type_case ? protobuf_c_message_descriptor_get_field(e->base.descriptor, e->type_case)
                     : NULL;

    return f ? f->name : "unknown";
}

static const struct {
    const char *message, *field;
} paths[] = {
    {"lt.v1.Idx", "dir"},
    {"lt.v1.Model", "weights"},
    {"lt.v1.Model", "onnx"},
    {"lt.v1.Trainer", "default_root_dir"},
    {"lt.v1.ModelCheckpoint", "dirpath"},
    {"lt.v1.Command", "working_dir"},
    {"lt.v1.Command", "env_from_file"},
    {"lt.v1.Command.SecretsEntry", "value"},
    {"lt.v1.DaemonConfig", "socket"},
    {"lt.v1.DaemonConfig", "state_dir"},
    {"lt.v1.DaemonConfig", "runs_dir"},
    {"lt.v1.DaemonConfig", "token_file"},
};

bool lt_field_is_path(const ProtobufCMessageDescriptor *d, const ProtobufCFieldDescriptor *f)
{
    for (size_t i = 0; i < LT_ARRAY_LEN(paths); i++)
        if (!strcmp(d->name, paths[i].message) && !strcmp(f->name, paths[i].field))
            return true;
    return false;
}
