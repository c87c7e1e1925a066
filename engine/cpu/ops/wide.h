/* wide.h - what isn't float32: counters, labels, float64 scalars */
#ifndef LT_CPU_OPS_WIDE_H
#define LT_CPU_OPS_WIDE_H

#include "engine/cpu/program.h"

/* The node is a reduction over the dimensions in `gone` (bits) of its first input. */
int lt_wide_reduce_build(struct lt_build *b, unsigned gone);

#endif
