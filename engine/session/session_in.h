/* session_in.h - what the files of the session share */
#ifndef LT_SESSION_SESSION_IN_H
#define LT_SESSION_SESSION_IN_H

#include "base/map.h"
#include "engine/graph/pass.h"
#include "engine/session/session.h"

/* A persistent tensor: where it lies and how it starts. */
struct lt_stored {
    struct lt_tensor_info info;
    struct lt_type type;
    struct lt_init init;
    int layout;
    size_t offset, device_bytes;
};

/* One program for one batch size. */
struct lt_sized {
    int64_t n;
    struct lt_graph *g; /* lowered and ordered */
    struct lt_binding binding;
    struct lt_program *program;
    struct lt_plan *plan;
};

struct lt_kind {
    struct lt_graph *g; /* after the generic passes; NULL: not imported */
    struct lt_sized **sizes;
    int n_sizes, cap_sizes;
};

struct lt_session {
    struct lt_session_config c;
    struct lt_device *device;
    struct lt_shares shares;
    int64_t batch; /* samples of one slice: what a program is compiled for */
    bool accumulate;
    struct lt_kind kinds[LT_PROGRAM_N];
    struct lt_layer_rows rows;
    struct lt_graph *rows_graph; /* whose arena holds the rows' texts */
    struct lt_stored
        *tensors; /* in the order of lt_session_tensor(); constant tables behind the n_shown */
    int n_tensors, n_shown, cap_tensors;
    struct lt_map *by_name; /* name → 1 + index */
    void *persistent, *arena;
    size_t persistent_bytes, arena_bytes; /* planned; the arena with scratch */
    size_t arena_mapped;
    const struct lt_sized *last; /* run last */
};

bool lt_plan_accumulates(const Lt__V1__TrainingPlan *plan);
/* What the generic passes are to do for one kind of program. */
struct lt_pass_context lt_session_passes(const Lt__V1__TrainingPlan *plan,
                                         const struct lt_shares *shares,
                                         enum lt_program_kind kind, int exchange);
/* Import and generic passes. dump may be NULL. */
int lt_session_import(struct lt_session *s, enum lt_program_kind kind, struct lt_buf *dump,
                      struct lt_error *err);
/* Lowered, ordered and prepared for n samples; not yet placed. */
int lt_session_compile(struct lt_session *s, enum lt_program_kind kind, int64_t n,
                       struct lt_buf *dump, struct lt_sized **out, struct lt_error *err);
int lt_session_place(struct lt_session *s, struct lt_sized *z, struct lt_error *err);
void lt_sized_free(struct lt_session *s, struct lt_sized *z);
struct lt_sized *lt_session_find(struct lt_session *s, enum lt_program_kind kind, int64_t n);

/* The table of persistent tensors, from all imported programs, and their offsets. */
void lt_tensors_collect(struct lt_session *s);
void lt_tensors_lay_out(struct lt_session *s);
void *lt_tensor_data(const struct lt_session *s, const struct lt_stored *t);
int lt_tensor_init(struct lt_session *s, const struct lt_stored *t, struct lt_error *err);
int64_t lt_graph_flops(const struct lt_graph *g, const struct lt_binding *b);
int64_t lt_node_flops(const struct lt_graph *g, const struct lt_node *n,
                      const struct lt_binding *b);

#endif
