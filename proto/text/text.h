/* text.h - one generic mapper between YAML or JSON text and messages, by descriptors
 *
 * No code per field: names, types, presence and defaults come from protobuf-c's descriptors. A
 * one-key map or a bare word stands for a member of a oneof (`- linear: {…}`, `- relu`, `loss:
 * cross_entropy`); scalar messages (Duration, Size, CountOrAuto, BatchLimit, CheckInterval) take
 * the form their comment in plan.proto gives. Every problem is reported with line and column.
 */
#ifndef LT_PROTO_TEXT_H
#define LT_PROTO_TEXT_H

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include "lt/v1/plan.pb-c.h"

struct lt_arena;
struct lt_buf;
struct lt_problems;

#define LT_TEXT_MAX (16u << 20) /* bytes of text */
#define LT_TEXT_DEPTH 96        /* nested lists and maps; messages nest to LT_WIRE_DEPTH */
#define LT_TEXT_LIST 100000     /* items of one list */
#define LT_TEXT_NODES 1000000   /* values in all */

/* Reads text as message d. base_dir: what relative paths are relative to (NULL: they stay). Returns
 * the message (in the arena) or NULL when there were errors; problems has them all. */
ProtobufCMessage *lt_text_parse(const ProtobufCMessageDescriptor *d, const char *text, size_t n,
                                const char *base_dir, struct lt_arena *arena,
                                struct lt_problems *problems);
/* A plan file: `kind:` chooses the member of JobSpec (plan, command, evaluation). sets:
 * `path=value` strings from --set, applied to the text's tree before mapping
 * (callbacks[0].model_checkpoint.save_top_k=1), so that errors have a place, too. */
Lt__V1__JobSpec *lt_text_parse_spec(const char *text, size_t n, const char *base_dir,
                                    const char *const *sets, size_t n_sets, struct lt_arena *arena,
                                    struct lt_problems *problems);
/* What `plan check`, `run` and `submit` want: lt_text_parse_spec(), then lt_plan_validate() over
 * whatever could be read, so that the user gets one list; every problem that has a place in the
 * text is given it, and the list is in the order of the text. NULL when there were errors (warnings
 * alone don't refuse). */
Lt__V1__JobSpec *lt_text_check_spec(const char *text, size_t n, const char *base_dir,
                                    const char *const *sets, size_t n_sets, struct lt_arena *arena,
                                    struct lt_problems *problems);
/* Gives problems that were found elsewhere (levels 2 and 3, by path) their places in the text that the spec came from, and their
 * order. A text that can't be read leaves them as they are. */
void lt_text_place(const char *text, size_t n, const char *const *sets, size_t n_sets, struct lt_problems *problems);
/* Applies --set strings to a message that exists (resume). Returns a new message or NULL. */
Lt__V1__JobSpec *lt_text_apply_sets(const Lt__V1__JobSpec *spec, const char *const *sets,
                                    size_t n_sets, const char *base_dir, struct lt_arena *arena,
                                    struct lt_problems *problems);

enum lt_text_flags {
    LT_TEXT_JSON = 1,       /* one line; without it: YAML, block style */
    LT_TEXT_DEFAULTS = 2,   /* also fields that are absent and have a declared default */
    LT_TEXT_PRETTY = 4,     /* JSON on several lines */
    LT_TEXT_ENUM_LOWER = 8, /* SUCCEEDED → succeeded (events, status) */
};
void lt_text_print(const ProtobufCMessage *m, int flags, struct lt_buf *out);
/* A spec as a plan file (with `kind:` where it isn't a plan). */
void lt_text_print_spec(const Lt__V1__JobSpec *spec, int flags, struct lt_buf *out);

#endif
