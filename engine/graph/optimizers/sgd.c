/* sgd.c - torch.optim.SGD */
#include "engine/graph/optimizer.h"

static void sgd_use(const Lt__V1__Optimizer *o, struct lt_optimizer_use *u)
{
    const Lt__V1__Sgd *s = o->sgd;

    u->op = s->momentum != 0 ? "sgd_momentum" : "sgd";
    u->without_opt_step = s->momentum == 0;
    lt_optimizer_float(u, "weight_decay", s->weight_decay);
    lt_optimizer_flag(u, "maximize", s->maximize);
    if (s->momentum == 0)
        return;
    lt_optimizer_float(u, "momentum", s->momentum);
    lt_optimizer_float(u, "dampening", s->dampening);
    lt_optimizer_flag(u, "nesterov", s->nesterov);
    u->states[u->n_states++] = "momentum_buffer";
}

const struct lt_optimizer lt_optimizer_sgd = {LT__V1__OPTIMIZER__OPTIMIZER_SGD, sgd_use};
