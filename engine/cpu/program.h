/* program.h - a prepared program, and what the builders of its steps use
 *
 * A builder (ops/NAME.c) makes of one node a few steps: a function over [0, units), its arguments,
 * and where in the arguments the addresses of values go, which bind() fills in. Arguments live as
 * long as the program.
 */
#ifndef LT_CPU_PROGRAM_H
#define LT_CPU_PROGRAM_H

#include "engine/cpu/cpu.h"

struct lt_program;

#define LT_SLICES 16 /* pieces of a batch */

struct lt_build {
    struct lt_device *d;
    const struct lt_graph *g;
    const struct lt_binding *b;
    struct lt_program *p;
    int node;
    const struct lt_node *n;
    size_t scratch; /* taken by this node so far */
    size_t real;    /* bytes of a number of its tensors: 8 where they are float64, else 4 */
    struct lt_error *err;
};

/* One operator of the graph that the back end has kernels for; NULL-name ended tables, one for each
 * file of ops/. */
struct lt_builder {
    const char *op;
    int (*build)(struct lt_build *b);
    bool any_type; /* not tensors of one of float32 and float64 only */
    /* Also with bfloat16 tensors, where this holds; NULL: never. */
    bool (*low)(const struct lt_graph *g, const struct lt_node *n);
    bool (*fits)(const struct lt_graph *g, const struct lt_node *n); /* its own rule; NULL: those two */
};
/* NULL: no kernel of this back end for this node's operator over its types. */
const struct lt_builder *lt_builder_find(const struct lt_graph *g, const struct lt_node *n);

/* Zeroed; freed with the program. */
void *lt_build_args(struct lt_build *b, size_t bytes);
const char *lt_build_name_copy(struct lt_build *b, const char *s); /* a copy that lives as long */
/* *where becomes the address of the value's byte `offset`. where lies in lt_build_args memory. */
void lt_build_value(struct lt_build *b, lt_id v, size_t offset, const void *where);
void lt_build_in(struct lt_build *b, int i, const void *where);  /* input i of the node */
void lt_build_out(struct lt_build *b, int i, const void *where); /* output i */
/* Scratch memory of this node, all of it for the whole run of its steps; aligned to LT_ALIGN. */
size_t lt_build_scratch(struct lt_build *b, size_t bytes);
void lt_build_at_scratch(struct lt_build *b, size_t offset, const void *where);

/* A step of a kernel of the table, or of any function. ns: what it takes on one thread. check (may
 * be NULL) is asked after the step: -EDOM for bad data. */
typedef int lt_step_check(const void *args, struct lt_error *err);
void lt_build_kernel(struct lt_build *b, enum lt_kern_id k, const void *args, int64_t units,
                     double ns);
void lt_build_step(struct lt_build *b, const char *name, lt_kern_fn *fn, const void *args,
                   int64_t units, double ns);
void lt_build_check(struct lt_build *b, lt_step_check *check); /* of the step added last */
/* The step added last is left out where this says so, once addresses are known. */
void lt_build_idle(struct lt_build *b, bool (*idle)(const void *args));
/* The step added last works on samples: units [a * k, b * k) belong to samples [a, b), where k =
 * units / samples; or unit i belongs to samples [i * chunk, (i + 1) * chunk). It touches of the
 * node's operands with a batch dimension only what belongs to these samples, so steps of one chunk
 * size may run piece after piece, each piece through all of them. */
void lt_build_sliced(struct lt_build *b, int64_t samples, int64_t chunk);
/* The step added last only gathers what the pieces of its node gave: it may wait until all of a
 * group's pieces are done. */
void lt_build_deferred(struct lt_build *b);
/* Samples per piece: the same for every operator on a batch of n. */
static inline int64_t lt_slice(int64_t n)
{
    return n > LT_SLICES ? (n + LT_SLICES - 1) / LT_SLICES : 1;
}
/* Which of the device's threads runs piece i of n: pieces of one thread may share scratch memory.
 */
int lt_build_thread_of(const struct lt_build *b, int64_t i, int64_t n);
/* Arguments of the step added last, if it runs that kernel: for builders that put several nodes
 * into one step. NULL */
void *lt_build_last(struct lt_build *b, enum lt_kern_id k);
void lt_build_grow(struct lt_build *b, int64_t units,
                   double ns); /* the step added last, by so much */
void lt_build_name(struct lt_build *b,
                   enum lt_kern_id k); /* the node runs in a step that is there */
/* A primitive becomes the program's. Its arguments' addresses: */
void lt_build_prim(struct lt_build *b, struct lt_prim *p);
void lt_build_prim_value(struct lt_build *b, struct lt_prim *p, enum lt_prim_arg a, lt_id v,
                         size_t offset);
void lt_build_prim_scratch(struct lt_build *b, struct lt_prim *p, enum lt_prim_arg a,
                           size_t offset);
/* The primitive as a step of one unit, with its own scratch. */
void lt_build_prim_step(struct lt_build *b, struct lt_prim *p);
/* Copies bytes, unless the two addresses turn out to be one. */
void lt_build_copy(struct lt_build *b, lt_id from, lt_id to, size_t bytes);

/* Shapes of the node's values. */
int lt_build_dims(const struct lt_build *b, lt_id v, int64_t *dims);
int64_t lt_build_count(const struct lt_build *b, lt_id v);
static inline int lt_build_layout(const struct lt_build *b, lt_id v)
{
    return b->g->values[v].layout;
}
static inline enum lt_dtype lt_build_dtype(const struct lt_build *b, lt_id v)
{
    return b->g->values[v].type.dtype;
}

/* Pieces of about `target` rows: how many, the same on every machine. */
static inline int64_t lt_pieces(int64_t rows, int64_t chunk)
{
    return rows ? (rows + chunk - 1) / chunk : 0;
}

/* ---- the program (program.c) */
int lt_program_prepare(struct lt_device *d, const struct lt_graph *g, const struct lt_binding *b,
                       struct lt_program **out, struct lt_error *err);
size_t lt_program_scratch(const struct lt_program *p);
int lt_program_bind(struct lt_program *p, const struct lt_plan *plan, void *persistent, void *arena,
                    struct lt_error *err);
int lt_program_run(struct lt_program *p, const void *const *inputs, struct lt_error *err);
void lt_program_free(struct lt_program *p);
LT_DEFINE_AUTO(struct lt_program *, lt_program_free)
const void *lt_program_value(const struct lt_program *p, lt_id v);
const char *lt_program_kernel_name(const struct lt_program *p, int node);

/* Runs fn over [0, units) in `threads` shares, whatever number of threads there is for them
 * (par.c). */
void lt_par_run(int threads, lt_kern_fn *fn, const void *args, int64_t units);
/* Flushes denormals on every thread of the caller's pool; cheap after the first call on a thread.
 */
void lt_par_enter(int threads);

#endif
