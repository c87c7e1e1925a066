/* window.h - geometry of what slides a window over [n, c, h, w]: convolutions and pools */
#ifndef LT_OPS_WINDOW_H
#define LT_OPS_WINDOW_H

#include "engine/ops/util.h"

/* Index 0 is height, 1 is width. */
struct lt_window {
    int64_t kernel[2], stride[2], padding[2], dilation[2];
    bool ceil_mode;
};

/* From the node's attributes (absent: stride 1, padding 0, dilation 1; a pool's stride: its
 * kernel). kernel: from the attribute of that name, or the weight's last dimensions. -EINVAL for
 * zero strides and the like. */
int lt_window_of(const struct lt_node *n, const int64_t *weight_kernel, struct lt_window *out,
                 struct lt_error *err);
/* Output length along d for input length `in`: torch's formula, with its rule that a window starts
 * inside the input or its left padding. < 1: the window doesn't fit. */
int64_t lt_window_out(const struct lt_window *w, int d, int64_t in);
/* [n, c, h, w] with h and w as numbers. */
int lt_window_check_input(const struct lt_node *n, const struct lt_type *x, struct lt_error *err);
/* Output type of a pool; refuses windows that don't fit, and windows (dilated ones) that see
 * nothing of a small input. */
int lt_window_pool(const struct lt_node *n, const struct lt_type *x, struct lt_window *w,
                   struct lt_type *y, struct lt_error *err);

#endif
