/* unit_part.c - one member of a flat form, where it lies */
#include "engine/ops/unit.h"

#include <string.h>

static int infer(const struct lt_graph *g, const struct lt_node *n, const struct lt_type *in,
                 struct lt_type *out, struct lt_error *err)
{
    int64_t unit = lt_node_int(n, "unit"), index = lt_node_int(n, "index");

    if (unit < 0 || unit >= g->n_units || index < 0 || index >= g->units[unit].n_members)
        return lt_refuse(n, err, "no such member");
    out[0] = g->values[g->units[unit].members[index]].type;
    return in[0].ndim == 1 && in[0].dtype == out[0].dtype
               ? 0
               : lt_refuse(n, err, "takes the unit's flat form");
}

static int ref(const struct lt_kernel_args *k, struct lt_error *err)
{
    size_t size = lt_dtype_sizes[k->out[0].dtype];
    const char *from =
        (const char *)k->in[0].data + (size_t)lt_node_int(k->node, "offset") * size;

    (void)err;
    if (k->out[0].data != from)
        memmove(k->out[0].data, from, (size_t)k->out[0].count * size);
    return 0;
}

/* offset: elements before it, in plain layout. */
static const struct lt_attr_spec attrs[] = {{"unit", LT_ATTR_INT, true, 0, NULL},
                                            {"index", LT_ATTR_INT, true, 0, NULL},
                                            {"offset", LT_ATTR_INT, true, 0, NULL},
                                            LT_ATTR_END};

const struct lt_op lt_op_unit_part = {
    .name = "unit_part",
    .cls = LT_OP_VIEW,
    .internal = true,
    .part = true,
    .precision = LT_PRECISION_KEEP,
    .min_in = 1,
    .max_in = 1,
    .n_out = 1,
    .attrs = attrs,
    .infer = infer,
    .ref = ref,
};
