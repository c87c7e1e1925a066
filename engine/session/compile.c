/* compile.c - from the plan to programs: import, passes, the device's lowering, order, preparation,
 * place
 *
 * The generic passes run once per kind of program; what depends on the batch size runs once per
 * size and is kept.
 */
#include <errno.h>
#include <stdio.h>
#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "engine/graph/op.h"
#include "engine/session/session_in.h"

bool lt_plan_accumulates(const Lt__V1__TrainingPlan *plan)
{
    return plan->trainer && plan->trainer->accumulate_grad_batches > 1;
}

static int problems_error(const struct lt_problems *p, struct lt_error *err)
{
    for (size_t i = 0; i < p->len; i++) {
        const struct lt_problem *first = &p->items[i];

        if (first->warning)
            continue;
        if (p->errors > 1)
            return lt_error_set(err, -EINVAL, "%s: %s (and %zu more problems)", first->path,
                                first->reason, p->errors - 1);
        return lt_error_set(err, -EINVAL, "%s: %s", first->path, first->reason);
    }
    return lt_error_set(err, -EINVAL, "the plan's model has problems");
}

struct lt_pass_context lt_session_passes(const Lt__V1__TrainingPlan *plan,
                                         const struct lt_shares *shares,
                                         enum lt_program_kind kind, int exchange)
{
    const Lt__V1__Trainer *t = plan->trainer;
    bool predicts = kind == LT_PROGRAM_PREDICT;

    return (struct lt_pass_context){
        .plan = plan,
        .accumulate = lt_plan_accumulates(plan),
        .update = kind == LT_PROGRAM_STEP,
        .world = predicts ? 0 : shares->world,
        .slices = predicts ? 0 : shares->slices,
        .reduce_sums = kind == LT_PROGRAM_STEP || kind == LT_PROGRAM_EVAL,
        .sync_batchnorm = t && t->sync_batchnorm,
        .exchange = exchange,
        .bucket_bytes = t && t->ddp ? (size_t)t->ddp->bucket_cap_mb << 20 : 0,
    };
}

int lt_session_import(struct lt_session *s, enum lt_program_kind kind, struct lt_buf *dump,
                      struct lt_error *err)
{
    struct lt_pass_context c = lt_session_passes(s->c.plan, &s->shares, kind, s->c.exchange);
    struct lt_problems problems = {0};
    struct lt_layer_rows *rows = s->rows_graph ? NULL : &s->rows;
    struct lt_kind *k = &s->kinds[kind];
    int rc;

    k->g = lt_graph_import(s->c.plan, s->c.fields, s->c.n_fields, kind, s->batch, &problems, rows);
    rc = k->g ? 0 : problems_error(&problems, err);
    lt_problems_done(&problems);
    if (rows && k->g)
        s->rows_graph = k->g;
    return rc ? rc : lt_passes_run(k->g, &c, dump, err);
}

/* ---- one size ---- */

static void dump_stage(struct lt_buf *dump, const char *stage, const struct lt_graph *g)
{
    if (!dump)
        return;
    lt_buf_printf(dump, "== %s ==\n", stage);
    lt_graph_print(g, dump);
}

static int lower(struct lt_session *s, struct lt_sized *z, struct lt_buf *dump,
                 struct lt_error *err)
{
    const struct lt_backend *be = s->c.backend;
    int rc = be->lower ? be->lower(s->device, z->g, &z->binding, err) : 0;

    if (!rc)
        dump_stage(dump, "lower", z->g);
    if (!rc)
        rc = lt_graph_order(z->g, &z->binding, err);
    if (!rc)
        rc = lt_graph_check(z->g, err);
    if (!rc)
        dump_stage(dump, "order", z->g);
    return rc;
}

int lt_session_compile(struct lt_session *s, enum lt_program_kind kind, int64_t n,
                       struct lt_buf *dump, struct lt_sized **out, struct lt_error *err)
{
    const struct lt_graph *g = s->kinds[kind].g;
    struct lt_sized *z = lt_calloc(1, sizeof *z);
    int rc;

    z->n = n;
    z->g = lt_graph_clone(g);
    for (int i = 0; i < g->n_syms; i++)
        z->binding.value[i] = g->syms[i].bound;
    z->binding.value[0] = n;
    rc = lower(s, z, dump, err);
    if (!rc)
        rc = s->c.backend->prepare(s->device, z->g, &z->binding, &z->program, err);
    if (rc < 0) {
        lt_error_prefix(err, "program %s for %lld samples", lt_program_names[kind], (long long)n);
        lt_sized_free(s, z);
        return rc;
    }
    *out = z;
    return 0;
}

void lt_sized_free(struct lt_session *s, struct lt_sized *z)
{
    if (!z)
        return;
    if (z->program)
        s->c.backend->program_free(z->program);
    lt_plan_free(z->plan);
    lt_graph_free(z->g);
    lt_free(z);
}

struct lt_sized *lt_session_find(struct lt_session *s, enum lt_program_kind kind, int64_t n)
{
    for (int i = 0; i < s->kinds[kind].n_sizes; i++)
        if (s->kinds[kind].sizes[i]->n == n)
            return s->kinds[kind].sizes[i];
    return NULL;
}

/* ---- place ---- */

static size_t value_bytes(void *ctx, const struct lt_graph *g, lt_id v, const struct lt_binding *b)
{
    const struct lt_session *s = ctx;
    const struct lt_value *val = &g->values[v];

    if (val->unit) /* slice by slice, members as they lie */
        return lt_unit_offset(g, val->unit - 1, g->units[val->unit - 1].n_members, b, value_bytes,
                              ctx) *
               (size_t)g->units[val->unit - 1].slices;
    if (val->layout && s->c.backend->layout_bytes)
        return s->c.backend->layout_bytes(s->device, val->layout, &val->type, b);
    return lt_type_bytes(&val->type, b);
}

static size_t persistent_offset(void *ctx, const char *name)
{
    const struct lt_session *s = ctx;
    intptr_t i = (intptr_t)lt_map_get(s->by_name, name);

    return i ? s->tensors[i - 1].offset : (size_t)-1;
}

int lt_session_place(struct lt_session *s, struct lt_sized *z, struct lt_error *err)
{
    struct lt_place_ask ask = {.ctx = s,
                               .bytes = value_bytes,
                               .persistent = persistent_offset,
                               .scratch_bytes = s->c.backend->scratch_bytes(z->program)};
    int rc = lt_plan_place(z->g, &z->binding, &ask, &z->plan, err);

    if (!rc)
        s->arena_bytes = LT_MAX(s->arena_bytes, z->plan->arena_bytes + z->plan->scratch_bytes);
    return rc;
}

/* ---- cost ---- */

/* Could an operator's count overflow? None exceeds this product. */
static bool beyond_counting(const struct lt_graph *g, const struct lt_node *n,
                            const struct lt_binding *b)
{
    double most = 1;

    for (int i = 0; i < n->n_in; i++)
        most = LT_MAX(most, (double)lt_type_count(&g->values[n->in[i]].type, b));
    return n->n_out && 16 * most * (double)lt_type_count(&g->values[n->out[0]].type, b) > 0x1p62;
}

int64_t lt_node_flops(const struct lt_graph *g, const struct lt_node *n, const struct lt_binding *b)
{
    if (beyond_counting(g, n, b))
        return INT64_MAX;
    if (n->op->flops)
        return n->op->flops(g, n, b);
    if (n->op->cls == LT_OP_VIEW || !n->n_out)
        return 0;
    return lt_type_count(&g->values[n->out[0]].type, b);
}

int64_t lt_graph_flops(const struct lt_graph *g, const struct lt_binding *b)
{
    int64_t sum = 0;

    for (int i = 0; i < g->n_nodes; i++)
        if (!g->nodes[i].dead &&
            __builtin_add_overflow(sum, lt_node_flops(g, &g->nodes[i], b), &sum))
            return INT64_MAX;
    return sum;
}
