/* unit.c - flat forms: how long they are, and how members are packed into them */
#include "engine/ops/unit.h"

#include <string.h>

int64_t lt_unit_step(enum lt_dtype dtype, int64_t count)
{
    int64_t align = dtype == LT_F32 ? LT_UNIT_ALIGN / 4 : 1;

    return (count + align - 1) / align * align;
}

static const struct lt_unit *unit_of(const struct lt_graph *g, const struct lt_node *n)
{
    int64_t unit = lt_node_int(n, "unit");

    return unit >= 0 && unit < g->n_units ? &g->units[unit] : NULL;
}

int lt_unit_infer_start(const struct lt_graph *g, const struct lt_node *n, const struct lt_type *in,
                        struct lt_type *out, struct lt_error *err)
{
    static const struct lt_binding none = {{0}};
    const struct lt_unit *u = unit_of(g, n);
    int64_t total = 0;

    if (!u || n->n_in != u->n_members * u->slices || lt_node_int(n, "slices") != u->slices)
        return lt_refuse(n, err, "the inputs aren't slices of a unit");
    for (int i = 0; i < n->n_in; i++) {
        const struct lt_type *t = &g->values[u->members[i % u->n_members]].type;

        if (!lt_type_eq(t, &in[i]))
            return lt_refuse(n, err, "input %d isn't of its member's type", i);
    }
    for (int i = 0; i < u->n_members; i++)
        total += lt_unit_step(in[i].dtype, lt_type_count(&in[i], &none));
    out[0] = (struct lt_type){
        .dtype = in[0].dtype, .ndim = 1, .dim = {lt_dim_num(total * u->slices)}};
    return 0;
}

/* Slice 0 becomes the sum of all, slice by slice. */
static void sum_slices(const struct lt_operand *o, int64_t slices)
{
    int64_t n = o->count / slices;

    for (int64_t s = 1; s < slices; s++)
        for (int64_t i = 0; i < n; i++)
            lt_set(o, i, lt_get(o, i) + lt_get(o, s * n + i));
}

int lt_unit_pack(const struct lt_kernel_args *k, struct lt_error *err)
{
    size_t size = lt_dtype_sizes[k->out[0].dtype];
    char *to = k->out[0].data;

    (void)err;
    for (int i = 0; i < k->n_in; i++) {
        int64_t n = k->in[i].count, step = lt_unit_step(k->in[i].dtype, n);

        if (k->in[i].data != to) /* a memory plan may have it there already */
            memcpy(to, k->in[i].data, (size_t)n * size);
        memset(to + (size_t)n * size, 0, (size_t)(step - n) * size);
        to += (size_t)step * size;
    }
    return 0;
}

int lt_unit_reduce(const struct lt_kernel_args *k, struct lt_error *err)
{
    lt_unit_pack(k, err);
    sum_slices(&k->out[0], lt_node_int(k->node, "slices"));
    return 0;
}
