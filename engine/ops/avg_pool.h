/* avg_pool.h - what one window of avg_pool2d covers and divides by, for the operator and its
 * gradient */
#ifndef LT_OPS_AVG_POOL_H
#define LT_OPS_AVG_POOL_H

#include "engine/ops/window.h"

extern const struct lt_attr_spec lt_avg_pool_attrs[];

struct lt_avg_window {
    int64_t y0, y1, x0, x1; /* half-open, inside the input */
    double divisor; /* torch: with count_include_pad the window cut at input + padding, else what is
                       inside */
};
struct lt_avg_window lt_avg_window_at(const struct lt_window *w, bool include_pad, int64_t h,
                                      int64_t width, int64_t oy, int64_t ox);

#endif
