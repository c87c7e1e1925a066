/* dnn_in.h - what the dnn*.c share; they alone include oneDNN
 *
 * Enumerators differ between its versions 2 and 3 and are never stored.
 */
#ifndef LT_ENGINE_CPU_DNN_IN_H
#define LT_ENGINE_CPU_DNN_IN_H

#include <dnnl.h>
#include "engine/cpu/dnn.h"

#define V3 (DNNL_VERSION_MAJOR >= 3)

#if V3
typedef const_dnnl_memory_desc_t md_ptr;
#else
typedef const dnnl_memory_desc_t *md_ptr;
#endif

struct lt_md {
#if V3
    dnnl_memory_desc_t d;
#else
    dnnl_memory_desc_t d[1];
#endif
};

void lt_dims_pad(const int64_t *from, int n, dnnl_dims_t to);
/* A copy of one that oneDNN owns. */
struct lt_md *lt_md_wrap(md_ptr from);
/* The same tensor in another type. open: its layout is left to the library (weights). */
struct lt_md *lt_md_as(const struct lt_md *m, enum lt_dtype t, bool open);

#endif
