/* simplify.c - less to do for the same result
 *
 * In order: operators on constants are computed (by their reference kernels); nodes that change
 * nothing give way to their input; equal nodes become one (not updates, and not those whose result
 * depends on their name); what nobody needs goes. One walk suffices for each, since inputs come
 * before users.
 */
#include "engine/graph/pass.h"

#include <assert.h>
#include <string.h>
#include "base/buf.h"
#include "base/error.h"
#include "base/map.h"
#include "base/mem.h"
#include "engine/graph/edit.h"
#include "engine/graph/op.h"

/* ---- constants ---- */

static void store(void *p, enum lt_dtype dtype, double v)
{
    switch (dtype) {
    case LT_F64:
        *(double *)p = v;
        break;
    case LT_I32:
        *(int32_t *)p = (int32_t)v;
        break;
    case LT_I64:
        *(int64_t *)p = (int64_t)v;
        break;
    default:
        *(float *)p = (float)v;
        break;
    }
}

static double load(const void *p, enum lt_dtype dtype)
{
    switch (dtype) {
    case LT_F64:
        return *(const double *)p;
    case LT_I32:
        return *(const int32_t *)p;
    case LT_I64:
        return (double)*(const int64_t *)p;
    default:
        return *(const float *)p;
    }
}

static bool foldable(const struct lt_type *t)
{
    return t->ndim == 0 &&
           (t->dtype == LT_F32 || t->dtype == LT_F64 || t->dtype == LT_I32 || t->dtype == LT_I64);
}

/* A node of scalar constants becomes a constant. */
static bool fold(struct lt_graph *g, int i)
{
    struct lt_node n = g->nodes[i];
    struct lt_operand in[4], out = {.ndim = 0, .count = 1};
    double cell[4], result = 0;
    struct lt_kernel_args k = {&n, n.n_in, 1, in, &out};

    if (n.n_in < 1 || n.n_in > 4 || n.n_out != 1 || !n.op->ref || n.op->updates[0] ||
        n.op->by_name || !foldable(&g->values[n.out[0]].type))
        return false;
    for (int a = 0; a < n.n_in; a++) {
        const struct lt_value *v = &g->values[n.in[a]];

        if (v->kind != LT_VALUE_CONST || !foldable(&v->type))
            return false;
        store(&cell[a], v->type.dtype, v->constant);
        in[a] = (struct lt_operand){.data = &cell[a], .dtype = v->type.dtype, .count = 1};
    }
    out.data = &result;
    out.dtype = g->values[n.out[0]].type.dtype;
    if (n.op->ref(&k, NULL) < 0)
        return false;
    lt_graph_replace(g, n.out[0], lt_graph_const(g, load(&result, out.dtype), out.dtype), i);
    lt_graph_kill(g, i);
    return true;
}

/* ---- nodes that change nothing ---- */

static bool perm_is_identity(const struct lt_node *n)
{
    int count;
    const int64_t *perm = lt_node_ints(n, "perm", &count);

    for (int i = 0; i < count; i++)
        if (perm[i] != i)
            return false;
    return true;
}

static const char *const same_type_noops[] = {"reshape", "cast", "expand", "sum_to", "transpose"};

static bool changes_nothing(const struct lt_graph *g, const struct lt_node *n)
{
    if (n->n_in < 1 || n->n_out != 1 ||
        !lt_type_eq(&g->values[n->in[0]].type, &g->values[n->out[0]].type))
        return false;
    for (size_t i = 0; i < LT_ARRAY_LEN(same_type_noops); i++)
        if (!strcmp(n->op->name, same_type_noops[i]))
            return strcmp(n->op->name, "transpose") != 0 || perm_is_identity(n);
    return false;
}

/* Only the innermost of a chain of reshapes matters. */
static void skip_reshapes(struct lt_graph *g, struct lt_node *n)
{
    for (;;) {
        int before = g->values[n->in[0]].node;

        if (before < 0 || strcmp(g->nodes[before].op->name, "reshape") != 0)
            return;
        n->in[0] = g->nodes[before].in[0];
    }
}

static bool bypass(struct lt_graph *g, int i)
{
    struct lt_node *n = &g->nodes[i];
    bool reshape = !strcmp(n->op->name, "reshape");
    lt_id direct = n->n_in ? n->in[0] : LT_NONE;

    /* `shape` may copy dimensions of its input, so skip only when the target is given by `like` */
    if (reshape && n->n_in == 2)
        skip_reshapes(g, n);
    if (!changes_nothing(g, n)) {
        if (reshape)
            n->in[0] = direct;
        return false;
    }
    lt_graph_replace(g, n->out[0], n->in[0], i);
    lt_graph_kill(g, i);
    return true;
}

/* ---- equal nodes ---- */

static void key_number(struct lt_buf *key, double v)
{
    uint64_t bits;

    memcpy(&bits, &v, sizeof bits);
    lt_buf_printf(key, "%llx", (unsigned long long)bits);
}

static void key_attr(struct lt_buf *key, const struct lt_attr *a)
{
    lt_buf_char(key, '|');
    switch (a->kind) {
    case LT_ATTR_INT:
        lt_buf_printf(key, "%lld", (long long)a->i);
        break;
    case LT_ATTR_FLOAT:
        key_number(key, a->f);
        break;
    case LT_ATTR_STR:
        lt_buf_str(key, a->s);
        break;
    case LT_ATTR_INTS:
        for (int64_t i = 0; i < a->i; i++)
            lt_buf_printf(key, ",%lld", (long long)a->ints[i]);
        break;
    }
}

/* Equal constants are equal inputs. */
static void key_input(struct lt_buf *key, const struct lt_graph *g, lt_id v)
{
    if (g->values[v].kind != LT_VALUE_CONST) {
        lt_buf_printf(key, " %d", v);
        return;
    }
    lt_buf_printf(key, " c%d:", g->values[v].type.dtype);
    key_number(key, g->values[v].constant);
}

static bool mergeable(const struct lt_node *n)
{
    if (n->op->by_name)
        return false;
    for (int o = 0; o < n->n_out; o++)
        if (n->op->updates[o])
            return false;
    return true;
}

static bool merge(struct lt_graph *g, int i, struct lt_map *seen, struct lt_buf *key)
{
    const struct lt_node *n = &g->nodes[i];
    int first;

    if (!mergeable(n))
        return false;
    key->len = 0;
    lt_buf_str(key, n->op->name);
    for (int k = 0; k < n->n_in; k++)
        key_input(key, g, n->in[k]);
    for (int a = 0; a < n->n_attrs; a++)
        key_attr(key, &n->attrs[a]);
    first = (int)(intptr_t)lt_map_get(seen, key->data) - 1;
    if (first < 0) {
        lt_map_set(seen, key->data, (void *)(intptr_t)(i + 1));
        return false;
    }
    for (int o = 0; o < n->n_out; o++)
        lt_graph_replace(g, n->out[o], g->nodes[first].out[o], -1);
    lt_graph_kill(g, i);
    return true;
}

int lt_pass_simplify(struct lt_graph *g, const struct lt_pass_context *c, struct lt_error *err)
{
    LT_AUTO(lt_map_free) struct lt_map *seen = lt_map_new(NULL);
    LT_BUF_AUTO key = {0};

    (void)c;
    for (int i = 0; i < g->n_nodes; i++) {
        if (g->nodes[i].dead || fold(g, i) || bypass(g, i))
            continue;
        merge(g, i, seen, &key);
    }
    lt_graph_sweep(g);
    return lt_graph_sort(g, err);
}
