/* update.c - optimisers, gradient accumulation, and the scalars that steer an update
 *
 * Updates that follow each other with the same settings become one step over a list of tensors.
 */
#include <errno.h>
#include <math.h>
#include <string.h>
#include "base/error.h"
#include "engine/cpu/program.h"

static int64_t elements(const struct lt_build *b, lt_id v)
{
    return (int64_t)(lt_layout_bytes(b->d, lt_build_layout(b, v), &b->g->values[v].type, b->b) /
                     lt_dtype_sizes[lt_build_dtype(b, v)]);
}

static int nodes_of(const struct lt_build *b)
{
    int n = 0;

    for (int i = 0; i < b->g->n_nodes; i++)
        n += b->g->nodes[i].op == b->n->op && !b->g->nodes[i].dead;
    return n;
}

/* What makes two updates one step: operator, attributes and the scalars they read. */
struct group {
    struct lt_update u; /* first: the kernel's arguments */
    const struct lt_node *n;
    int cap;
};

static bool same_settings(const struct lt_node *a, const struct lt_node *b, int scalars, int count)
{
    if (a->op != b->op ||
        memcmp(a->in + scalars, b->in + scalars, (size_t)count * sizeof *a->in) != 0)
        return false;
    for (int i = 0; i < a->n_attrs; i++)
        if (a->attrs[i].i != b->attrs[i].i || a->attrs[i].f != b->attrs[i].f)
            return false;
    return true;
}

/* Attributes that only some optimisers have. */
static double attr_or(const struct lt_node *n, const char *name, double otherwise)
{
    for (int i = 0; i < n->n_attrs; i++)
        if (!strcmp(n->attrs[i].name, name))
            return n->attrs[i].kind == LT_ATTR_FLOAT ? n->attrs[i].f : (double)n->attrs[i].i;
    return otherwise;
}

static struct group *group_new(struct lt_build *b, int scalars, int count)
{
    struct group *g = lt_build_args(b, sizeof *g);
    const struct lt_node *n = b->n;

    g->n = n;
    g->cap = nodes_of(b);
    g->u = (struct lt_update){
        .t = lt_build_args(b, (size_t)g->cap * sizeof *g->u.t),
        .beta1 = attr_or(n, "beta1", 0),
        .beta2 = attr_or(n, "beta2", 0),
        .eps = attr_or(n, "eps", 0),
        .weight_decay = attr_or(n, "weight_decay", 0),
        .clip_value = attr_or(n, "clip_value", 0),
        .momentum = attr_or(n, "momentum", 0),
        .dampening = attr_or(n, "dampening", 0),
        .decoupled = attr_or(n, "decoupled", 0) != 0,
        .maximize = attr_or(n, "maximize", 0) != 0,
        .nesterov = attr_or(n, "nesterov", 0) != 0,
    };
    lt_build_in(b, scalars, &g->u.lr);
    if (count > 2)
        lt_build_in(b, scalars + 1, &g->u.step);
    lt_build_in(b, scalars + count - 1, &g->u.scale);
    return g;
}

/* states: which inputs are s1, s2, s3 (-1: none). scalars: where lr, [opt_step,] scale stand, and
 * how many these are. */
static int update_build(struct lt_build *b, enum lt_kern_id kernel, int scalars, int count,
                        const int states[3], double per)
{
    struct group *g = lt_build_last(b, kernel);
    int64_t n = elements(b, b->n->in[0]), units = lt_pieces(n, LT_UPDATE_BLOCK);
    struct lt_update_tensor *t;
    bool joined = g && g->u.n_tensors < g->cap && same_settings(g->n, b->n, scalars, count);
    const void **state[3];

    if (!n)
        return 0;
    if (!joined)
        g = group_new(b, scalars, count);
    t = &g->u.t[g->u.n_tensors++];
    *t = (struct lt_update_tensor){.n = n};
    lt_build_in(b, 0, &t->p);
    lt_build_in(b, 1, &t->g);
    state[0] = (const void **)&t->s1;
    state[1] = (const void **)&t->s2;
    state[2] = (const void **)&t->s3;
    for (int i = 0; i < 3; i++)
        if (states[i] >= 0 && states[i] < b->n->n_in)
            lt_build_in(b, states[i], state[i]);
    if (joined) {
        t->first = t[-1].first + lt_pieces(t[-1].n, LT_UPDATE_BLOCK);
        lt_build_grow(b, units, per * (double)n);
        lt_build_name(b, kernel);
    } else {
        lt_build_kernel(b, kernel, g, units, per * (double)n);
    }
    return 0;
}

static int adam_build(struct lt_build *b)
{
    return update_build(b, LT_KERN_adam, 4, 3, (int[3]){2, 3, -1}, 0.4);
}

static int adam_amsgrad_build(struct lt_build *b)
{
    return update_build(b, LT_KERN_adam, 5, 3, (int[3]){2, 3, 4}, 0.5);
}

static int sgd_build(struct lt_build *b)
{
    return update_build(b, LT_KERN_sgd, 2, 2, (int[3]){-1, -1, -1}, 0.15);
}

static int sgd_momentum_build(struct lt_build *b)
{
    return update_build(b, LT_KERN_sgd, 3, 3, (int[3]){2, -1, -1}, 0.2);
}

struct fill {
    char *to;
    int64_t bytes;
};

#define FILL_UNIT 65536

static void fill_zero(const void *args, int64_t begin, int64_t end)
{
    const struct fill *f = args;
    int64_t at = begin * FILL_UNIT, stop = LT_MIN(end * FILL_UNIT, f->bytes);

    memset(f->to + at, 0, (size_t)(stop - at));
}

static int zero_build(struct lt_build *b)
{
    struct fill *f = lt_build_args(b, sizeof *f);
    lt_id v = b->n->out[0];

    f->bytes = (int64_t)lt_layout_bytes(b->d, lt_build_layout(b, v), &b->g->values[v].type, b->b);
    lt_build_out(b, 0, &f->to);
    lt_build_step(b, "zero", fill_zero, f, lt_pieces(f->bytes, FILL_UNIT), (double)f->bytes / 30);
    return 0;
}

/* float64 sums and int64 counters. */
struct add_wide {
    void *acc;
    const void *g;
};

static void add_double(const void *args, int64_t begin, int64_t end)
{
    const struct add_wide *a = args;

    for (int64_t i = begin; i < end; i++)
        ((double *)a->acc)[i] += ((const double *)a->g)[i];
}

static void add_int64(const void *args, int64_t begin, int64_t end)
{
    const struct add_wide *a = args;

    for (int64_t i = begin; i < end; i++)
        ((int64_t *)a->acc)[i] += ((const int64_t *)a->g)[i];
}

static int accumulate_build(struct lt_build *b)
{
    lt_id acc = b->n->in[0];
    enum lt_dtype dtype = lt_build_dtype(b, acc);

    if (dtype == LT_F64 || dtype == LT_I64) {
        struct add_wide *a = lt_build_args(b, sizeof *a);
        int64_t n = lt_build_count(b, acc);

        lt_build_in(b, 0, &a->acc);
        lt_build_in(b, 1, &a->g);
        lt_build_step(b, dtype == LT_F64 ? "add_double" : "add_int64", dtype == LT_F64 ? add_double : add_int64, a, n, (double)n);
        return 0;
    }
    if (dtype != LT_F32)
        return lt_error_set(b->err, -ENOTSUP, "not over %s", lt_dtype_names[dtype]);
    struct lt_chain *c = lt_build_args(b, sizeof *c);

    *c =
        (struct lt_chain){.total = elements(b, acc), .ndim = 1, .n_in = 2, .n_out = 1, .n_code = 1};
    c->dim[0] = c->total;
    c->in[0].stride[0] = c->in[1].stride[0] = 1;
    c->code[0] = (struct lt_chain_instr){LT_CHAIN_ADD, 0, 1, 0, 0};
    lt_build_in(b, 0, &c->in[0].data);
    lt_build_in(b, 1, &c->in[1].data);
    lt_build_out(b, 0, &c->out[0]);
    lt_build_kernel(b, LT_KERN_chain, c, lt_pieces(c->total, LT_TILE), (double)c->total * 0.15);
    return 0;
}

/* ---- scalars */

struct sum_doubles {
    const double *x;
    double *out;
    int64_t n;
};

static void sum_doubles(const void *args, int64_t begin, int64_t end)
{
    const struct sum_doubles *s = args;
    double r = 0;

    (void)begin;
    (void)end;
    for (int64_t i = 0; i < s->n; i++)
        r += s->x[i];
    *s->out = r;
}

static int sum_squares_build(struct lt_build *b)
{
    struct lt_squares *s = lt_build_args(b, sizeof *s);
    struct sum_doubles *sum = lt_build_args(b, sizeof *sum);
    int64_t units = 0;
    double total = 0;
    size_t at;

    s->n_tensors = b->n->n_in;
    s->t = lt_build_args(b, (size_t)s->n_tensors * sizeof *s->t);
    for (int i = 0; i < s->n_tensors; i++) {
        s->t[i].n = elements(b, b->n->in[i]);
        s->t[i].first = units;
        units += lt_pieces(s->t[i].n, LT_SQUARES_BLOCK);
        total += (double)s->t[i].n;
        lt_build_in(b, i, &s->t[i].x);
    }
    at = lt_build_scratch(b, (size_t)units * sizeof(double));
    lt_build_at_scratch(b, at, &s->out);
    lt_build_at_scratch(b, at, &sum->x);
    lt_build_out(b, 0, &sum->out);
    sum->n = units;
    lt_build_kernel(b, LT_KERN_sum_squares, s, units, total * 0.15);
    lt_build_step(b, "sum_doubles", sum_doubles, sum, 1, 0);
    return 0;
}

struct grad_scale {
    const double *loss, *weight, *squares;
    double *scale, *norm, *skipped;
    double clip;
};

/* As torch.nn.utils.clip_grad_norm_: min(1, clip / (norm + 1e-6)), the norm being the mean
 * gradient's. */
static void grad_scale(const void *args, int64_t begin, int64_t end)
{
    const struct grad_scale *g = args;
    double norm = g->squares && *g->weight > 0 ? sqrt(*g->squares) / *g->weight : 0;
    double clip = g->clip > 0 && g->squares ? g->clip / (norm + 1e-6) : 1;
    double scale = *g->weight > 0 ? (clip < 1 ? clip : 1) / *g->weight : 0;
    bool good = isfinite(*g->loss) && isfinite(norm);

    (void)begin;
    (void)end;
    *g->scale = good ? scale : NAN;
    *g->norm = norm;
    *g->skipped = !good;
}

static int grad_scale_build(struct lt_build *b)
{
    struct grad_scale *g = lt_build_args(b, sizeof *g);

    g->clip = attr_or(b->n, "clip_norm", 0);
    lt_build_in(b, 0, &g->loss);
    lt_build_in(b, 1, &g->weight);
    if (b->n->n_in > 2)
        lt_build_in(b, 2, &g->squares);
    lt_build_out(b, 0, &g->scale);
    lt_build_out(b, 1, &g->norm);
    lt_build_out(b, 2, &g->skipped);
    lt_build_step(b, "grad_scale", grad_scale, g, 1, 0);
    return 0;
}

const struct lt_builder lt_builders_update[] = {{.op = "adam", .build = adam_build},
                                                {.op = "adam_amsgrad", .build = adam_amsgrad_build},
                                                {.op = "sgd", .build = sgd_build},
                                                {.op = "sgd_momentum", .build = sgd_momentum_build},
                                                {.op = "zero", .build = zero_build, .any_type = true},
                                                {.op = "accumulate", .build = accumulate_build, .any_type = true},
                                                {.op = "sum_squares", .build = sum_squares_build},
                                                {.op = "grad_scale", .build = grad_scale_build},
                                                {0}};
