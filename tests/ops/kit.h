/* kit.h - operators from text, and their reference kernels on memory that is watched
 *
 * Types are written `[n,3,5]`, `f64[]`, `i64[n]<10`: a dtype (f32 when absent; f64 bf16 f16 i32 i64
 * u8 bool), dimensions (numbers or multiples of n and t, e.g. 2n) and what the tensor is filled
 * with: nothing: -2 … 2; `+`: 0.5 … 2.5; `<K`: integers below K; `w`: sample weights, some of them
 * 0; `d`: all different, 0.1 apart; `=V`: V. A `!` behind it: no gradient is expected for it.
 * Attributes are written `stride=2,1 groups=2 act=relu`.
 */
#ifndef LT_TESTS_OPS_KIT_H
#define LT_TESTS_OPS_KIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/error.h"
#include "base/mem.h"
#include "engine/graph/op.h"

#define KIT_IN_MAX 8
#define KIT_N_BOUND 4 /* of symbol n; t: 3 */

struct kit_spec {
    struct lt_type type;
    char fill; /* 0, '+', '<', 'w', 'd', '=' */
    double limit;
    bool constant; /* `!` */
};

/* How many types the text holds; fails the test when it can't be read. */
int kit_types(const char *text, struct kit_spec *out);

struct kit_attrs {
    int n;
    struct lt_attr attr[12];
    int64_t ints[12][LT_DIMS_MAX];
    char text[256];
};
void kit_attrs_read(const char *text, const struct lt_op *op, struct kit_attrs *out);

/* A graph with symbols n and t. */
struct lt_graph *kit_graph(void);
struct lt_binding kit_binding(int64_t n);
/* Adds one value per spec: "in0", …; PARAM where `params` and it is floating and not constant, or
 * where op updates it. */
void kit_inputs(struct lt_graph *g, const struct lt_op *op, const struct kit_spec *spec, int n,
                bool params, lt_id *out);

/* A block of exactly so many bytes with guards around it. */
void *kit_block(size_t bytes, unsigned char poison);
bool kit_block_whole(const void *p, size_t bytes); /* guards untouched */
void kit_block_free(void *p);

double kit_random(uint64_t *state); /* 0 … 1 */
void kit_fill(const struct lt_operand *o, const struct kit_spec *spec, uint64_t seed);
struct lt_operand kit_operand(const struct lt_type *t, const struct lt_binding *b, void *data);

/* One operand block per value of a graph. Aliases share their root's block. */
struct kit_memory {
    const struct lt_graph *g;
    struct lt_binding binding;
    struct lt_operand *value; /* n_values */
    int n_values;
};
void kit_memory_init(struct kit_memory *m, const struct lt_graph *g, const struct lt_binding *b,
                     unsigned char poison);
void kit_memory_done(struct kit_memory *m); /* fails the test when a guard was written over */
/* Runs every node's reference kernel. */
int kit_run(struct kit_memory *m, struct lt_error *err);

/* Equal bit for bit, NaN equal to NaN. */
bool kit_same(const struct lt_operand *a, const struct lt_operand *b);

#endif
