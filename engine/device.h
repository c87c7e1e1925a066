/* device.h - what a back end is: ref (oracle), null (costs only), cpu, later cuda
 *
 * Life of a program: the generic passes have made a graph; the device's `lower` fuses and lays it out for itself;
 * `prepare` makes a step of each node for a binding and says how much scratch it needs; the memory plan gives every
 * value its place; `bind` fixes the addresses; `run` runs it, with no allocation, lock or look-up by name.
 * One thread drives a device; the device may use its own pool inside.
 */
#ifndef LT_ENGINE_DEVICE_H
#define LT_ENGINE_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "engine/graph/graph.h"
#include "engine/graph/op.h"
#include "engine/graph/plan.h"

struct lt_buf;
struct lt_comm;
struct lt_error;
struct lt_device;
struct lt_program;

struct lt_device_config {
    int threads;             /* of its pool; 0: all usable cores */
    const char *max_isa;     /* "avx2", "avx512_core", …; NULL: the machine's */
    const char *profile;     /* an earlier execution profile to replay (JSON text); NULL: choose */
    bool allow_reference;    /* trainer.allow_reference_kernels */
    struct lt_comm *comm;    /* for nodes that start collectives; NULL: programs with such nodes can't run */
    const char *cache_dir;   /* where measurements of this machine are kept; NULL: they aren't */
};

struct lt_backend {
    const char *name; /* "ref", "null", "cpu" */
    int (*open)(const struct lt_device_config *c, struct lt_device **out, struct lt_error *err);
    void (*close)(struct lt_device *d);

    /* Device-specific graph → graph: fuse patterns it has kernels for, choose layouts (value.layout), insert `reorder`
     * nodes. Persistent values keep the layout that the first program lowered on this device gave them. NULL: nothing to do.
     * Refuses (-ENOTSUP, naming node and operator) a node it would have to run on the reference kernel unless allowed. */
    int (*lower)(struct lt_device *d, struct lt_graph *g, const struct lt_binding *b, struct lt_error *err);
    /* Layout of a persistent value, by name; after `lower`. NULL function or 0: plain. */
    int (*layout_of)(struct lt_device *d, const char *name);
    size_t (*layout_bytes)(struct lt_device *d, int layout, const struct lt_type *t, const struct lt_binding *b);
    /* Between the plain row-major form and a layout (persistent values, for checkpoints and initialisation). */
    int (*to_plain)(struct lt_device *d, int layout, const struct lt_type *t, const void *src, void *dst, struct lt_error *err);
    int (*from_plain)(struct lt_device *d, int layout, const struct lt_type *t, const void *src, void *dst, struct lt_error *err);

    int (*prepare)(struct lt_device *d, const struct lt_graph *g, const struct lt_binding *b, struct lt_program **out,
                   struct lt_error *err);
    size_t (*scratch_bytes)(const struct lt_program *p);
    int (*bind)(struct lt_program *p, const struct lt_plan *plan, void *persistent, void *arena, struct lt_error *err);
    /* inputs: one pointer per INPUT value of the graph in order of creation, plain layout, valid until run returns.
     * -EDOM with text when a kernel met bad data. Outputs are read at the plan's offsets (lt_program_value). */
    int (*run)(struct lt_program *p, const void *const *inputs, struct lt_error *err);
    void (*program_free)(struct lt_program *p);
    const void *(*value)(const struct lt_program *p, lt_id v); /* where a value lies, after run */

    /* Name of the kernel a node got ("brg_matmul:avx512_core", "avx2:adam"); for plan check and tests. */
    const char *(*kernel_name)(const struct lt_program *p, int node);
    /* Execution profile of everything chosen so far: one line of JSON. */
    void (*profile)(struct lt_device *d, struct lt_buf *out);
    /* What it does otherwise and slower than asked for, as a sentence ("bfloat16 is emulated: …"); NULL function or NULL:
     * nothing. After `lower`. */
    const char *(*slower)(const struct lt_device *d);
    /* Memory for regions: aligned to LT_ALIGN, mapped and touched. */
    void *(*alloc)(struct lt_device *d, size_t bytes, struct lt_error *err);
    void (*release)(struct lt_device *d, void *p, size_t bytes);
    /* Bytes the device itself holds beside arena and persistents (code, primitives), estimated. */
    size_t (*overhead_bytes)(const struct lt_device *d);
};

extern const struct lt_backend lt_backend_ref, lt_backend_null, lt_backend_cpu;

#endif
