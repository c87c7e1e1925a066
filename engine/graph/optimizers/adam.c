/* adam.c - torch.optim.Adam */
#include "engine/graph/optimizer.h"

static void adam_use(const Lt__V1__Optimizer *o, struct lt_optimizer_use *u)
{
    const Lt__V1__Adam *a = o->adam;

    u->op = a->amsgrad ? "adam_amsgrad" : "adam";
    lt_optimizer_float(u, "beta1", a->n_betas > 0 ? a->betas[0] : 0.9);
    lt_optimizer_float(u, "beta2", a->n_betas > 1 ? a->betas[1] : 0.999);
    lt_optimizer_float(u, "eps", a->eps);
    lt_optimizer_float(u, "weight_decay", a->weight_decay);
    lt_optimizer_flag(u, "decoupled", false);
    lt_optimizer_flag(u, "maximize", a->maximize);
    u->states[u->n_states++] = "exp_avg";
    u->states[u->n_states++] = "exp_avg_sq";
    if (a->amsgrad)
        u->states[u->n_states++] = "max_exp_avg_sq";
}

const struct lt_optimizer lt_optimizer_adam = {LT__V1__OPTIMIZER__OPTIMIZER_ADAM, adam_use};
