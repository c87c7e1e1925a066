/* graph.h - the intermediate representation: one graph is one whole program
 *
 * Values have a type and come from a node, from outside (inputs, constants) or live between runs (parameters,
 * buffers, optimiser states, accumulators: the *persistent* kinds, known by name across programs). Nodes apply an
 * operator: N typed inputs, M typed outputs, attributes. A node that updates a persistent value gives a new value
 * whose `alias` is the old one: both are the same memory, and every reader of the old one comes before it.
 * Nodes are kept in an order in which they can run. Pure.
 */
#ifndef LT_GRAPH_GRAPH_H
#define LT_GRAPH_GRAPH_H

#include "base/auto.h"
#include "engine/graph/type.h"

struct lt_arena;
struct lt_buf;
struct lt_error;
struct lt_map;
struct lt_op;

typedef int32_t lt_id; /* a value */
#define LT_NONE ((lt_id)-1)
#define LT_NODE_IN_MAX 64 /* multi-tensor updates take more through lists of nodes, not longer ones */
#define LT_NODE_OUT_MAX 8
#define LT_UNIT_ALIGN 64 /* bytes; of float32 members in a flat form */

enum lt_value_kind {
    LT_VALUE_NODE,   /* computed */
    LT_VALUE_INPUT,  /* given at every run, by name: data fields, weight, sample_index, lr, step */
    LT_VALUE_CONST,  /* scalar constant, in `constant` */
    LT_VALUE_PARAM,  /* trained */
    LT_VALUE_BUFFER, /* model state that is not trained: running statistics */
    LT_VALUE_OPTIM,  /* optimiser state: exp_avg, … */
    LT_VALUE_ACCUM,  /* of an open accumulation window: gradients, sums of weights and losses */
    LT_VALUE_TABLE,  /* constant tensor (class weights): filled once, in no checkpoint */
    LT_VALUE_KIND_N
};
static inline bool lt_value_persists(enum lt_value_kind k)
{
    return k >= LT_VALUE_PARAM;
}

/* Start value of a persistent one. Drawn from the stream of its name (base/philox.h, LT_RNG_INIT). */
enum lt_init_kind { LT_INIT_CONSTANT, LT_INIT_UNIFORM, LT_INIT_NORMAL, LT_INIT_LIST };
struct lt_init {
    enum lt_init_kind kind;
    double a, b;        /* CONSTANT: the value; UNIFORM: low, high; NORMAL: mean, std */
    const double *list; /* LIST: every element; lives as long as the plan */
};

struct lt_value {
    enum lt_value_kind kind;
    struct lt_type type;
    const char *name; /* unique among inputs and persistent values of a graph; else may be NULL */
    int node;         /* producer; -1 */
    int out;          /* which of its outputs */
    lt_id alias;      /* this value is the new content of that persistent one (never of another alias); LT_NONE */
    struct lt_init init; /* persistent kinds */
    double constant;
    int layout;       /* 0: plain row-major; else a number the device gave out (engine/device.h) */
    int unit;         /* 1 + the unit whose flat form this is; 0: none */
};

/* Values that travel in one collective: behind one another, each as it lies on the device and aligned. Gradients of
 * parameters, sums of losses and metrics, statistics. How a strategy shards them is their stage. */
enum lt_unit_stage {
    LT_UNIT_REPLICATED, /* every rank has all of it: data parallel */
    LT_UNIT_STAGE_N
};
struct lt_unit {
    const char *name; /* "grads0", "sums" */
    enum lt_unit_stage stage;
    int slices;      /* a flat form begins as so many of them in a row: this rank's terms of a sum */
    lt_id *members;  /* whose type, layout and bytes the parts have */
    int n_members;
};

enum lt_attr_kind { LT_ATTR_INT, LT_ATTR_FLOAT, LT_ATTR_STR, LT_ATTR_INTS };

struct lt_attr {
    const char *name;
    enum lt_attr_kind kind;
    int64_t i; /* INT; INTS: how many */
    double f;
    const char *s;
    const int64_t *ints;
};

struct lt_node {
    const struct lt_op *op;
    const char *name; /* hierarchical: "0.linear", "0.linear/dw"; keys random streams, so passes keep it */
    int n_in, n_out, n_attrs;
    lt_id *in, *out;
    struct lt_attr *attrs;
    bool dead; /* removed by a pass; skipped */
};

struct lt_sym {
    const char *name;
    int64_t bound; /* at most; memory is planned here */
};

struct lt_output {
    const char *name; /* "loss_sum", "weight_sum", "acc.sum", "output", … */
    lt_id value;
};

/* Result of autodiff. */
struct lt_gradient {
    lt_id param, grad;
};

struct lt_graph {
    struct lt_arena *arena; /* owns every name, list and attribute */
    const char *name;       /* "step", "micro", "eval", "predict" */
    struct lt_value *values;
    int n_values, cap_values;
    struct lt_map *names; /* of inputs and persistent values: name → 1 + value */
    struct lt_node *nodes;
    int n_nodes, cap_nodes;
    struct lt_sym syms[LT_SYMS_MAX];
    int n_syms;
    struct lt_output *outputs;
    int n_outputs, cap_outputs;
    lt_id loss;                 /* what autodiff differentiates; LT_NONE */
    struct lt_gradient *grads;  /* one per parameter that the loss depends on, in the parameters' order */
    int n_grads;
    struct lt_unit *units; /* made by the parallel pass */
    int n_units, cap_units;
};

struct lt_graph *lt_graph_new(const char *name);
void lt_graph_free(struct lt_graph *g);
LT_DEFINE_AUTO(struct lt_graph *, lt_graph_free)
struct lt_graph *lt_graph_clone(const struct lt_graph *g);

int lt_graph_sym(struct lt_graph *g, const char *name, int64_t bound); /* finds or adds; -E2BIG */
lt_id lt_graph_value(struct lt_graph *g, enum lt_value_kind kind, const char *name, const struct lt_type *type);
lt_id lt_graph_const(struct lt_graph *g, double v, enum lt_dtype dtype); /* 0-dimensional */
lt_id lt_graph_find(const struct lt_graph *g, const char *name);         /* input or persistent value; its newest alias is lt_graph_latest() */
lt_id lt_graph_latest(const struct lt_graph *g, lt_id persistent);
void lt_graph_output(struct lt_graph *g, const char *name, lt_id v);

/* A unit of these members, in this order; its number. */
int lt_graph_unit(struct lt_graph *g, const char *name, enum lt_unit_stage stage, int slices, const lt_id *members, int n);
/* Bytes of a value on the device that asks. */
typedef size_t lt_bytes_fn(void *ctx, const struct lt_graph *g, lt_id v, const struct lt_binding *b);
size_t lt_graph_plain_bytes(void *ctx, const struct lt_graph *g, lt_id v, const struct lt_binding *b); /* ctx: NULL */
/* Where a member begins in one slice of the flat form; of n_members: how long a slice is. */
size_t lt_unit_offset(const struct lt_graph *g, int unit, int member, const struct lt_binding *b, lt_bytes_fn *bytes, void *ctx);

void lt_graph_init(struct lt_graph *g, lt_id persistent, struct lt_init init); /* without it: constant 0 */

/* Adds a node behind the others; checks attributes against the operator's table and infers the output types.
 * attrs are copied, absent ones get their defaults. Trailing outputs that update an optional input which isn't there
 * don't exist (n_out is smaller). Returns the node's number or -EINVAL with operator, node and shapes in err.
 * Values of its outputs: g->nodes[ret].out[i]. */
int lt_graph_add(struct lt_graph *g, const struct lt_op *op, const char *name, const lt_id *in, int n_in,
                 const struct lt_attr *attrs, int n_attrs, struct lt_error *err);

int64_t lt_node_int(const struct lt_node *n, const char *attr);
double lt_node_float(const struct lt_node *n, const char *attr);
const char *lt_node_str(const struct lt_node *n, const char *attr);
const int64_t *lt_node_ints(const struct lt_node *n, const char *attr, int *count);

/* The rules of the representation; run between passes in debug builds. */
int lt_graph_check(const struct lt_graph *g, struct lt_error *err);
/* Text, one node a line: `%5 = relu(%4) : float32[n, 128]   # 1.relu`; what `--dump-passes` and golden tests show. */
void lt_graph_print(const struct lt_graph *g, struct lt_buf *out);

#endif
