/* window.h - what slides over an image, from a node's attributes with their defaults */
#ifndef LT_CPU_OPS_WINDOW_H
#define LT_CPU_OPS_WINDOW_H

#include "engine/graph/graph.h"

struct lt_window_shape {
    int64_t kernel[2], stride[2], padding[2], dilation[2]; /* height, width */
};
/* Absent: stride the kernel's (or 1 without one), padding 0, dilation 1; one number is for both
 * directions. */
struct lt_window_shape lt_window_shape(const struct lt_node *n);

#endif
