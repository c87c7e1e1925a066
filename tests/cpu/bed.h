/* bed.h - runs a graph on a back end, with guards behind every value; and random operands */
#ifndef LT_TESTS_CPU_BED_H
#define LT_TESTS_CPU_BED_H

#include "engine/device.h"

/* A graph under test; inputs and persistent values in order of creation, outputs as given. */
struct bed {
    struct lt_graph *g;
    struct lt_binding b;
};
/* Values of one run, plain. */
struct bed_values {
    void *in[16], *persistent[64], *out[16];
    size_t out_bytes[16];
    int n_in, n_persistent, n_out;
    int spread; /* no value shares memory with another, and there are guards behind each */
};

void bed_open(struct bed *t);
void bed_close(struct bed *t);
lt_id bed_input(struct bed *t, const char *name, enum lt_dtype dtype, int ndim,
                const int64_t *dims);
lt_id bed_param(struct bed *t, const char *name, enum lt_dtype dtype, int ndim,
                const int64_t *dims);
/* A node whose outputs are the program's, too. Returns its number. */
int bed_node(struct bed *t, const char *op, const char *name, const lt_id *in, int n_in,
             const struct lt_attr *attrs, int n_attrs);
void bed_outputs(struct bed *t, int node);

/* Fills inputs and persistent values at random in [-1, 1]; integers in [0, ints). */
void bed_fill(const struct bed *t, struct bed_values *v, uint64_t seed, int64_t ints);
void bed_copy(const struct bed *t, const struct bed_values *from, struct bed_values *to);
void bed_free(struct bed_values *v);
/* Runs `times`; results and the new content of persistent values go to v. kernels (may be NULL):
 * names, one a node. Returns what the run returned. -EFAULT where a guard was overwritten. */
int bed_run(const struct bed *t, const struct lt_backend *be, const struct lt_device_config *c,
            struct bed_values *v, int times, char *kernels, size_t n_kernels);
/* Greatest |a - b| / (1 + |b|) over outputs and persistent values; NaN equals NaN, infinities equal
 * themselves. */
double bed_distance(const struct bed *t, const struct bed_values *a, const struct bed_values *b);
int bed_same_bits(const struct bed *t, const struct bed_values *a, const struct bed_values *b);

#endif
