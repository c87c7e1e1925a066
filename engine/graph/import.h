/* import.h - a training plan's model, loss and metrics as a graph
 *
 * Every problem is reported with its path in the plan (model.layers[3].conv2d), as far as the ones
 * before it leave anything to check. Persistent values have torch's names (nn.Sequential's:
 * "1.weight", "2.0.bias") and its default initialisers. Pure.
 */
#ifndef LT_GRAPH_IMPORT_H
#define LT_GRAPH_IMPORT_H

#include "base/problem.h"
#include "engine/graph/graph.h"
#include "lt/v1/plan.pb-c.h"

/* A program's purpose. TRAIN behaviour of dropout and batch norm in MICRO and STEP, evaluation
 * behaviour in the others. */
enum lt_program_kind {
    LT_PROGRAM_MICRO,
    LT_PROGRAM_STEP,
    LT_PROGRAM_EVAL,
    LT_PROGRAM_PREDICT,
    LT_PROGRAM_N
};
extern const char *const lt_program_names[LT_PROGRAM_N]; /* "micro", "step", "eval", "predict" */

/* A field of the data, without the batch dimension. */
struct lt_field {
    const char *name;
    enum lt_dtype dtype;
    int ndim;
    int64_t dim[LT_DIMS_MAX];
    int64_t classes; /* integer targets: labels are 0 … classes-1 where known; else 0 */
};

/* A layer of the model, for people: one row of `plan check`. */
struct lt_layer_row {
    const char *name; /* "2.0" */
    const char *kind; /* "conv2d"; of a graph: the operator */
    const char *path; /* "model.layers[2].residual.layers[0].conv2d" */
    struct lt_type out;
    int64_t parameters; /* elements, frozen ones too */
};
struct lt_layer_rows {
    struct lt_layer_row *items; /* texts live in the graph's arena */
    int len, cap;
};
void lt_layer_rows_done(struct lt_layer_rows *r);

/* Forward, loss and metrics of one program. batch: bound of symbol n. NULL when there are problems
 * (never when there are none); rows may be NULL. */
struct lt_graph *lt_graph_import(const Lt__V1__TrainingPlan *plan, const struct lt_field *fields,
                                 int n_fields, enum lt_program_kind kind, int64_t batch,
                                 struct lt_problems *problems, struct lt_layer_rows *rows);

#endif
