/* optimizer.h - an optimiser of the plan: one file in engine/graph/optimizers, one word in its list
 *
 * It says which operator updates a parameter, which states that keeps beside it, and how the plan's
 * message becomes attributes.
 */
#ifndef LT_GRAPH_OPTIMIZER_H
#define LT_GRAPH_OPTIMIZER_H

#include "engine/graph/graph.h"
#include "lt/v1/plan.pb-c.h"

#define LT_OPTIMIZER_STATES_MAX 4
#define LT_OPTIMIZER_ATTRS_MAX 12

struct lt_optimizer_use {
    const char *op;
    struct lt_attr attrs[LT_OPTIMIZER_ATTRS_MAX];
    int n_attrs;
    /* Inputs behind (parameter, gradient) and before (lr, opt_step, scale). Named
     * "exp_avg/1.weight"; they begin as zeros. */
    const char *states[LT_OPTIMIZER_STATES_MAX];
    int n_states;
    bool without_opt_step; /* the operator doesn't take it */
};

struct lt_optimizer {
    Lt__V1__Optimizer__OptimizerCase kind;
    void (*use)(const Lt__V1__Optimizer *o, struct lt_optimizer_use *u);
};
extern const struct lt_optimizer *const lt_optimizers[]; /* NULL-ended */

static inline void lt_optimizer_float(struct lt_optimizer_use *u, const char *name, double v)
{
    u->attrs[u->n_attrs++] = (struct lt_attr){.name = name, .kind = LT_ATTR_FLOAT, .f = v};
}
static inline void lt_optimizer_flag(struct lt_optimizer_use *u, const char *name, bool v)
{
    u->attrs[u->n_attrs++] = (struct lt_attr){.name = name, .kind = LT_ATTR_INT, .i = v};
}

#endif
