/* cpu.h - the device, and what its files share about values
 *
 * A value's layout is a number into the device's list: where the elements of the tensor lie. Plain
 * is 0.
 */
#ifndef LT_CPU_CPU_H
#define LT_CPU_CPU_H

#include "engine/cpu/dnn.h"
#include "engine/cpu/kern.h"
#include "engine/device.h"

enum lt_layout_kind {
    LT_LAYOUT_PLAIN,       /* row-major */
    LT_LAYOUT_LAST,        /* [n, c, …] with the channels innermost: n, …, c */
    LT_LAYOUT_TURNED,      /* [o, k] stored as [k, o] */
    LT_LAYOUT_FLAT,        /* [n, c * s] that was channels-last: stored n, s, c */
    LT_LAYOUT_TURNED_FLAT, /* [o, c * s], stored s, c, o: the weights that take a FLAT input */
    LT_LAYOUT_INDEX8,      /* places in a pooling window: a byte each, channels-last */
    LT_LAYOUT_BLOCKED,     /* oneDNN's choice for one shape */
};
#define LT_LAYOUT_FIXED 3 /* numbers 0, 1, 2: PLAIN, LAST, TURNED */

struct lt_layout {
    enum lt_layout_kind kind;
    int64_t c, s;     /* FLAT, TURNED_FLAT */
    struct lt_md *md; /* BLOCKED */
};

/* How bfloat16 is computed: as such where that was measured to pay, or by float32 kernels on numbers
 * that bfloat16 has. */
enum lt_low { LT_LOW_UNKNOWN, LT_LOW_NATIVE, LT_LOW_EMULATED };

struct lt_device {
    const struct lt_kern_table *kern, *kern_f64;
    enum lt_low low;
    char *measured; /* folder of what was measured; NULL: none */
    char *max_isa;
    int threads;
    bool allow_reference;
    struct lt_comm *comm; /* NULL: one rank */
    int primitives; /* made so far */
    struct lt_layout *layouts;
    int n_layouts, cap_layouts;
    struct lt_map *persistent; /* name → its layout's number + 1, as a pointer */
    struct lt_map *chosen;     /* node → implementation, for the profile (text, owned) */
};

/* ---- layouts (layout.c) */
int lt_layout_find(struct lt_device *d,
                   const struct lt_layout *l); /* finds or adds; md is copied */
/* Shape of a value as numbers; returns ndim. */
int lt_value_dims(const struct lt_graph *g, const struct lt_binding *b, lt_id v, int64_t *dims);
int64_t lt_value_count(const struct lt_graph *g, const struct lt_binding *b, lt_id v);
/* Strides, in elements and per logical dimension, of a value whose layout has them per dimension
 * (PLAIN, LAST, TURNED). false: it has not. */
bool lt_layout_strides(const struct lt_device *d, int layout, int ndim, const int64_t *dims,
                       int64_t *strides);
/* The same for any layout but BLOCKED, over dimensions that FLAT ones take apart: `like` says how a
 * plain one stands beside another (0: not). Returns how many there are; 0: BLOCKED. */
int lt_layout_places(const struct lt_device *d, int layout, int like, int ndim, const int64_t *dims,
                     int64_t *split, int64_t *strides);
/* The layout as oneDNN sees it. The plain form has the same (possibly factored) dimensions: layout
 * 0 beside it. */
struct lt_md *lt_layout_md(const struct lt_device *d, enum lt_dtype t, int layout, int like,
                           int ndim, const int64_t *dims);
/* Dimensions of a BLOCKED layout: five for grouped weights. Returns their number. */
int lt_layout_dims(const struct lt_device *d, int layout, int64_t *dims);
size_t lt_layout_bytes(struct lt_device *d, int layout, const struct lt_type *t,
                       const struct lt_binding *b);
int lt_layout_to_plain(struct lt_device *d, int layout, const struct lt_type *t, const void *src,
                       void *dst, struct lt_error *err);
int lt_layout_from_plain(struct lt_device *d, int layout, const struct lt_type *t, const void *src,
                         void *dst, struct lt_error *err);

/* ---- bfloat16 (probe.c, low.c) */
/* Decides d->low, by a measurement if nothing else has. */
void lt_low_decide(struct lt_device *d);
extern const char *const lt_low_names[]; /* "native", "emulated" */

/* ---- lowering (lower.c) */
int lt_cpu_lower(struct lt_device *d, struct lt_graph *g, const struct lt_binding *b,
                 struct lt_error *err);

/* Threads for work of so many nanoseconds on one. */
int lt_cpu_threads(const struct lt_device *d, double ns);

#endif
