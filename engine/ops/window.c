/* window.c - see window.h */
#include "engine/ops/window.h"

#include <string.h>

static bool has(const struct lt_node *n, const char *name)
{
    for (const struct lt_attr_spec *s = n->op->attrs; s->name; s++)
        if (!strcmp(s->name, name))
            return true;
    return false;
}

/* One value for both directions, or two; `def` where absent. */
static int pair(const struct lt_node *n, const char *name, const int64_t *def, int64_t least,
                int64_t out[2], struct lt_error *err)
{
    int count = 0;
    const int64_t *v = has(n, name) ? lt_node_ints(n, name, &count) : NULL;

    if (count > 2)
        return lt_refuse(n, err, "%s has %d values; one or two", name, count);
    for (int i = 0; i < 2; i++) {
        out[i] = count ? v[count == 2 ? i : 0] : def[i];
        if (out[i] < least || out[i] > 1 << 20)
            return lt_refuse(n, err, "%s is %lld; at least %lld", name, (long long)out[i],
                             (long long)least);
    }
    return 0;
}

int lt_window_of(const struct lt_node *n, const int64_t *weight_kernel, struct lt_window *out,
                 struct lt_error *err)
{
    static const int64_t ones[2] = {1, 1}, zeros[2] = {0, 0};
    int rc = pair(n, "kernel", weight_kernel ? weight_kernel : zeros, 1, out->kernel, err);

    rc = rc ? rc : pair(n, "stride", weight_kernel ? ones : out->kernel, 1, out->stride, err);
    rc = rc ? rc : pair(n, "padding", zeros, 0, out->padding, err);
    rc = rc ? rc : pair(n, "dilation", ones, 1, out->dilation, err);
    out->ceil_mode = has(n, "ceil_mode") && lt_node_int(n, "ceil_mode");
    for (int d = 0; !rc && d < 2; d++)
        if (!weight_kernel && out->padding[d] > out->kernel[d] / 2)
            return lt_refuse(n, err, "padding %lld is more than half of kernel %lld",
                             (long long)out->padding[d], (long long)out->kernel[d]);
    return rc;
}

int64_t lt_window_out(const struct lt_window *w, int d, int64_t in)
{
    int64_t span = w->dilation[d] * (w->kernel[d] - 1) + 1;
    int64_t room = in + 2 * w->padding[d] - span + (w->ceil_mode ? w->stride[d] - 1 : 0);
    int64_t out = room / w->stride[d] + 1;

    if (room < 0)
        return 0;
    if (w->ceil_mode && (out - 1) * w->stride[d] >= in + w->padding[d])
        out--;
    return out;
}

/* Does every window along d have a tap inside the input? */
static bool sees(const struct lt_window *w, int d, int64_t in, int64_t out)
{
    for (int64_t o = 0; o < out; o++) {
        int64_t at = o * w->stride[d] - w->padding[d], k = 0;

        for (; k < w->kernel[d] && at < 0; k++)
            at += w->dilation[d];
        if (k == w->kernel[d] || at >= in)
            return false;
        if (at - k * w->dilation[d] >= 0)
            return true; /* from here on windows start inside: lt_window_out() */
    }
    return true;
}

int lt_window_pool(const struct lt_node *n, const struct lt_type *x, struct lt_window *w,
                   struct lt_type *y, struct lt_error *err)
{
    int rc = lt_window_check_input(n, x, err);

    rc = rc ? rc : lt_check_float(n, x, "the input", err);
    rc = rc ? rc : lt_window_of(n, NULL, w, err);
    if (rc)
        return rc;
    *y = *x;
    for (int d = 0; d < 2; d++) {
        int64_t in = x->dim[2 + d].k, out = lt_window_out(w, d, in);

        if (out < 1 || !sees(w, d, in, out))
            return lt_refuse(n, err, "a %lldx%lld window does not fit into %lldx%lld",
                             (long long)w->kernel[0], (long long)w->kernel[1],
                             (long long)x->dim[2].k, (long long)x->dim[3].k);
        y->dim[2 + d] = lt_dim_num(out);
    }
    return 0;
}

int lt_window_check_input(const struct lt_node *n, const struct lt_type *x, struct lt_error *err)
{
    char text[128];

    if (x->ndim == 4 && x->dim[1].sym == LT_SYM_NONE && x->dim[2].sym == LT_SYM_NONE &&
        x->dim[3].sym == LT_SYM_NONE)
        return 0;
    lt_type_print(text, sizeof text, x);
    return lt_refuse(n, err, "expected [n, c, h, w], got %s", text);
}
