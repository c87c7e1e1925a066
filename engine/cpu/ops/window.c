/* window.c - see window.h */
#include "engine/cpu/ops/window.h"

#include <string.h>

static void pair(const struct lt_node *n, const char *name, const int64_t *otherwise, int64_t *out)
{
    memcpy(out, otherwise, 2 * sizeof *out);
    for (int i = 0; i < n->n_attrs; i++)
        if (!strcmp(n->attrs[i].name, name) && n->attrs[i].i) {
            out[0] = n->attrs[i].ints[0];
            out[1] = n->attrs[i].ints[n->attrs[i].i > 1];
        }
}

struct lt_window_shape lt_window_shape(const struct lt_node *n)
{
    static const int64_t ones[2] = {1, 1}, zeros[2] = {0, 0};
    struct lt_window_shape w;

    pair(n, "kernel", ones, w.kernel);
    pair(n, "stride", w.kernel, w.stride);
    pair(n, "padding", zeros, w.padding);
    pair(n, "dilation", ones, w.dilation);
    return w;
}
