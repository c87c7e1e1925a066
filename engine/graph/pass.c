/* pass.c - the list of passes and how they are run */
#include "engine/graph/pass.h"

#include "base/buf.h"
#include "base/error.h"

static const struct lt_pass simplify = {"simplify", lt_pass_simplify};
static const struct lt_pass autodiff = {"autodiff", lt_pass_autodiff};
static const struct lt_pass update = {"update", lt_pass_update};
static const struct lt_pass recompute = {"recompute", lt_pass_recompute};
static const struct lt_pass precision = {"precision", lt_pass_precision};
static const struct lt_pass parallel = {"parallel", lt_pass_parallel};
static const struct lt_pass fuse = {"fuse", lt_pass_fuse};

const struct lt_pass *const lt_passes[] = {
    &simplify, &autodiff, &update, &simplify, &recompute, &precision, &parallel, &fuse, NULL,
};

static void dump_graph(struct lt_buf *dump, const char *after, const struct lt_graph *g)
{
    if (!dump)
        return;
    lt_buf_printf(dump, "== %s ==\n", after);
    lt_graph_print(g, dump);
}

int lt_passes_run(struct lt_graph *g, const struct lt_pass_context *c, struct lt_buf *dump,
                  struct lt_error *err)
{
    int rc = lt_graph_check(g, err);

    dump_graph(dump, "import", g);
    for (int i = 0; !rc && lt_passes[i]; i++) {
        rc = lt_passes[i]->run(g, c, err);
#ifndef NDEBUG
        if (!rc)
            rc = lt_graph_check(g, err);
#endif
        if (rc < 0)
            lt_error_prefix(err, "pass %s", lt_passes[i]->name);
        else
            dump_graph(dump, lt_passes[i]->name, g);
    }
    return rc;
}
