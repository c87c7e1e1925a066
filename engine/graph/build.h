/* build.h - what layers, losses and metrics build a graph with
 *
 * A layer is one file in engine/graph/layers and one word in its list; losses and metrics likewise.
 * They check what the plan says, report every problem at their path, and add nodes. An input that
 * earlier problems left unknown is LT_NONE: then they check what they can without it and give
 * LT_NONE back.
 */
#ifndef LT_GRAPH_BUILD_H
#define LT_GRAPH_BUILD_H

#include "engine/graph/import.h"

struct lt_import; /* import.c */

/* Where we are: one layer, loss or metric. */
struct lt_build {
    struct lt_import *import;
    struct lt_graph *g;
    const Lt__V1__TrainingPlan *plan;
    bool training;      /* dropout and batch norm behave as in training */
    const char *path;   /* "model.layers[3].conv2d" */
    const char *name;   /* "3"; prefix of its parameters and nodes */
    int64_t parameters; /* elements made so far */
};

struct lt_layer {
    Lt__V1__Layer__LayerCase kind;
    const char *name;
    lt_id (*build)(struct lt_build *b, const Lt__V1__Layer *l, lt_id x);
};
extern const struct lt_layer *const lt_layers[]; /* NULL-ended */

/* Sums over the batch of weight * value, and of weights; both float64 scalars. */
struct lt_sums {
    lt_id sum, weight;
};
struct lt_loss {
    Lt__V1__Loss__LossCase kind;
    const char *name;
    int (*build)(struct lt_build *b, const Lt__V1__Loss *l,
                 struct lt_sums *out); /* -EINVAL: reported */
};
extern const struct lt_loss *const lt_losses[];
struct lt_metric {
    Lt__V1__Metric__MetricCase kind;
    const char *name;
    const char *(*label)(const Lt__V1__Metric *m); /* NAME of its outputs NAME.sum, NAME.weight */
    int (*build)(struct lt_build *b, const Lt__V1__Metric *m, struct lt_sums *out);
};
extern const struct lt_metric *const lt_metrics[];

/* Reports a problem at the path; gives LT_NONE so that it can be returned. remedy may be NULL. */
lt_id lt_build_problem(struct lt_build *b, const char *remedy, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

const struct lt_type *lt_build_type(const struct lt_build *b, lt_id v);
/* "float32[n, 784]"; a buffer of the import, valid until the next few calls. */
const char *lt_build_text(struct lt_build *b, lt_id v);

/* Trained parameter NAME.what, or a fixed one when the plan freezes it. LT_NONE (reported) when too
 * large. */
lt_id lt_build_param(struct lt_build *b, const char *what, const int64_t *dim, int ndim,
                     struct lt_init init);
lt_id lt_build_buffer(struct lt_build *b, const char *what, enum lt_dtype dtype, const int64_t *dim,
                      int ndim, double start);
/* A constant tensor of n elements. */
lt_id lt_build_table(struct lt_build *b, const char *what, const double *values, int64_t n);
/* Input of the program every sample has: "weight", "sample_index"; or scalar: "rng_step"; or a
 * field of the data. LT_NONE: no such field (not reported). */
lt_id lt_build_input(struct lt_build *b, const char *name);
const struct lt_field *lt_build_field(const struct lt_build *b, const char *name); /* NULL */
/* For losses and metrics: what the model computes, by name (NULL: its output), and a field of the
 * data as target. LT_NONE: reported, or unknown because of earlier problems. */
lt_id lt_build_result(struct lt_build *b, const char *name);
lt_id lt_build_target(struct lt_build *b, const char *name);
/* Logits [n, c] and class numbers [n] belong together: reports what doesn't fit. */
bool lt_build_classes(struct lt_build *b, lt_id logits, lt_id target, const char *target_name);

/* Node "NAME.op" with first output; LT_NONE (reported) when the operator refuses. Inputs that are
 * LT_NONE: none, quietly. */
lt_id lt_build_node(struct lt_build *b, const char *op, const lt_id *in, int n_in,
                    const struct lt_attr *attrs, int n_attrs);
/* Layers of a container, as NAME.0, NAME.1, … at PATH.layers[0], …; name "" for the top. */
lt_id lt_build_layers(struct lt_build *b, Lt__V1__Layer *const *layers, size_t n, lt_id x);

static inline struct lt_attr lt_attr_int(const char *name, int64_t v)
{
    return (struct lt_attr){.name = name, .kind = LT_ATTR_INT, .i = v};
}
static inline struct lt_attr lt_attr_float(const char *name, double v)
{
    return (struct lt_attr){.name = name, .kind = LT_ATTR_FLOAT, .f = v};
}
static inline struct lt_attr lt_attr_str(const char *name, const char *v)
{
    return (struct lt_attr){.name = name, .kind = LT_ATTR_STR, .s = v};
}
static inline struct lt_attr lt_attr_ints(const char *name, const int64_t *v, int n)
{
    return (struct lt_attr){.name = name, .kind = LT_ATTR_INTS, .i = n, .ints = v};
}
/* A field of one value for both directions or [height, width]; absent: `def`. False: reported. */
bool lt_build_pair(struct lt_build *b, const char *field, const uint64_t *v, size_t n,
                   int64_t least, int64_t def_h, int64_t def_w, int64_t out[2]);

#endif
