/* plan.h - what can be said of a job's spec without looking at the world
 *
 * Level 1 of checking: schema, ranges, cross-field rules (table in plan_rules.c, keyed by field
 * path); the canonical encoding that the plan's hash is taken of; and readers for fields whose
 * absence means something. Pure.
 */
#ifndef LT_PROTO_PLAN_H
#define LT_PROTO_PLAN_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include "lt/v1/events.pb-c.h"
#include "lt/v1/plan.pb-c.h"

struct lt_arena;
struct lt_buf;
struct lt_problems;

#define LT_PLAN_SCHEMA_VERSION 1

/* Every problem, in the order of the fields. Also does lt_wire_validate(). Warnings (T_max and
 * max_epochs differ) don't refuse. */
void lt_plan_validate(const Lt__V1__JobSpec *spec, struct lt_problems *problems);

/* Tags ascending, fields dropped that equal a declared default. The hash is SHA-256 of u32 LE
 * schema version + this (sys/sha256.h). */
void lt_plan_canonical(const ProtobufCMessage *m, struct lt_buf *out);

/* trainer.precision; the shorter words mean the same. A word that validation refuses is F32. */
enum lt_plan_precision { LT_PLAN_F32, LT_PLAN_F64, LT_PLAN_BF16_MIXED };
enum lt_plan_precision lt_plan_precision(const Lt__V1__TrainingPlan *plan);

/* The plan that trains or is evaluated, borrowed; NULL: a command, or an evaluation whose plan isn't
 * filled in yet. */
Lt__V1__TrainingPlan *lt_spec_plan(const Lt__V1__JobSpec *spec);

/* Ranks that train as one: devices on each of num_nodes nodes; `auto` is 1. */
#define LT_PLAN_RANKS_MAX 1024
uint64_t lt_plan_world(const Lt__V1__TrainingPlan *plan);

/* Names of the metrics a plan logs, e.g. train_loss, val_acc, lr-Adam: what monitors and file names
 * may refer to. `epoch` and `step` are always there. Borrowed from the arena; NULL-ended. */
const char *const *lt_plan_metric_names(const Lt__V1__TrainingPlan *plan, struct lt_arena *arena);

/* Deep copy into an arena, unknown fields too. NULL when the cap would be passed. */
ProtobufCMessage *lt_message_copy(const ProtobufCMessage *m, struct lt_arena *arena);

/* One row of the event table: the type's name in `events -o jsonl` and docs. */
const char *lt_event_type_name(const Lt__V1__Event *e);
/* Lower-case names: "running", "held(checking)", "succeeded", … */
const char *lt_job_state_name(Lt__V1__JobState s);
const char *lt_job_result_name(Lt__V1__JobResult r);
const char *lt_failure_class_name(Lt__V1__FailureClass c);
/* Exit code of `ltctl run` for a result (docs/exit-codes.md). */
int lt_job_exit_code(Lt__V1__JobResult r, Lt__V1__FailureClass c);

/* Why a command can't set this variable: it isn't a name, or ltd sets it itself. NULL: it can. */
const char *lt_env_name_fault(const char *name);
/* Names that a command's metrics may have: a letter, then letters, digits and _./:@- */
#define LT_METRIC_NAME_MAX 128
bool lt_metric_name_valid(const char *name, size_t n);

/* Is this string field a path, to be made absolute relative to the plan file? By full descriptor
 * name, e.g. "lt.v1.Idx.dir". */
bool lt_field_is_path(const ProtobufCMessageDescriptor *d, const ProtobufCFieldDescriptor *f);

/* ---- files that travel with a plan (model.weights); docs/decisions/0040 ---- */

#define LT_FILE_BLOB_PREFIX "sha256:" /* then 64 lower-case hexadecimal digits: by content */
#define LT_FILE_NODE_PREFIX "node:"   /* then an absolute path: as it lies on the node */

enum lt_file_place {
    LT_FILE_LOCAL, /* a path where the plan was written; what a job has is never one of these */
    LT_FILE_BLOB,
    LT_FILE_NODE,
};
enum lt_file_place lt_file_place(const char *file);
const char *lt_file_hash(const char *file); /* of a blob, within file; NULL: isn't one */
const char *lt_file_path(const char *file); /* a path, within file; NULL: a blob */
/* Is this string field such a file? */
bool lt_field_is_file(const ProtobufCMessageDescriptor *d, const ProtobufCFieldDescriptor *f);
/* The i-th field of a spec that names one (may be replaced), and the field's path (may be NULL).
 * NULL: that's all. */
char **lt_plan_file(const Lt__V1__JobSpec *spec, size_t i, const char **path);

#endif
