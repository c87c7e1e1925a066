/* avg_pool.c - see avg_pool.h */
#include "engine/ops/avg_pool.h"

const struct lt_attr_spec lt_avg_pool_attrs[] = {
    LT_ATTR_INTS_REQ("kernel"),
    LT_ATTR_INTS_OPT("stride"),
    LT_ATTR_INTS_OPT("padding"),
    LT_ATTR_INT_DEF("ceil_mode", 0),
    LT_ATTR_INT_DEF("count_include_pad", 1),
    LT_ATTR_END,
};

struct lt_avg_window lt_avg_window_at(const struct lt_window *w, bool include_pad, int64_t h,
                                      int64_t width, int64_t oy, int64_t ox)
{
    int64_t y0 = oy * w->stride[0] - w->padding[0], x0 = ox * w->stride[1] - w->padding[1];
    int64_t y1 = LT_MIN(y0 + w->kernel[0], h + w->padding[0]),
            x1 = LT_MIN(x0 + w->kernel[1], width + w->padding[1]);
    double whole = (double)((y1 - y0) * (x1 - x0));
    struct lt_avg_window a = {LT_MAX(y0, 0), LT_MIN(y1, h), LT_MAX(x0, 0), LT_MIN(x1, width),
                              whole};

    if (!include_pad)
        a.divisor = (double)((a.y1 - a.y0) * (a.x1 - a.x0));
    return a;
}
