/* unit.c - values that travel together
 *
 * A flat form holds the members as they lie on the device, so that nothing is turned round on the
 * way; each begins on a cache line where vectors are summed, and on its own size where scalars are.
 */
#include <string.h>
#include "base/mem.h"
#include "engine/graph/graph_in.h"
#include "engine/graph/op.h"

int lt_graph_unit(struct lt_graph *g, const char *name, enum lt_unit_stage stage, int slices,
                  const lt_id *members, int n)
{
    struct lt_unit u = {.name = lt_graph_strdup(g, name),
                        .stage = stage,
                        .slices = slices,
                        .members = lt_graph_alloc(g, (size_t)(n + 1) * sizeof *members),
                        .n_members = n};

    memcpy(u.members, members, (size_t)n * sizeof *members);
    LT_GROW(g->units, g->n_units, g->cap_units);
    g->units[g->n_units] = u;
    return g->n_units++;
}

size_t lt_graph_plain_bytes(void *ctx, const struct lt_graph *g, lt_id v,
                            const struct lt_binding *b)
{
    (void)ctx;
    return lt_type_bytes(&g->values[v].type, b);
}

size_t lt_unit_offset(const struct lt_graph *g, int unit, int member, const struct lt_binding *b,
                      lt_bytes_fn *bytes, void *ctx)
{
    const struct lt_unit *u = &g->units[unit];
    size_t at = 0;

    for (int i = 0; i < member; i++) {
        size_t align = g->values[u->members[i]].type.dtype == LT_F32 ? LT_UNIT_ALIGN : 8;

        at += (bytes(ctx, g, u->members[i], b) + align - 1) / align * align;
    }
    return at;
}
