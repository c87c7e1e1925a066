/* check.c - level 2: do the model's layers, loss and metrics fit the data and each other? */
#include "base/error.h"
#include "engine/session/session_in.h"
#include "proto/plan.h"

static void check_passes(const Lt__V1__TrainingPlan *plan, const struct lt_shares *shares,
                         struct lt_graph *g, struct lt_problems *problems)
{
    struct lt_pass_context c = lt_session_passes(plan, shares, LT_PROGRAM_STEP, 0);
    struct lt_error err = {0};

    if (lt_passes_run(g, &c, NULL, &err) < 0)
        lt_problem_add(problems, "model", NULL, "%s", err.text);
}

/* A model without anything to train can be tested, not fitted. */
static void check_trains(const struct lt_graph *g, struct lt_problems *problems)
{
    for (lt_id v = 0; v < g->n_values; v++)
        if (g->values[v].kind == LT_VALUE_PARAM)
            return;
    lt_problem_add(problems, "model", "let freeze match fewer names, or add a layer with weights",
                   "there is nothing to train");
}

int lt_session_check(const Lt__V1__TrainingPlan *plan, const struct lt_field *fields, int n_fields,
                     struct lt_problems *problems)
{
    size_t before = problems->errors;
    struct lt_shares shares = {.batch = 1, .local = 1};
    struct lt_graph *g;

    if (plan->n_steps)
        lt_problem_add(problems, "steps", "use step and optimizer",
                       "several optimisers are not supported by this release");
    if (lt_shares_of(plan, (int)lt_plan_world(plan), &shares, NULL) < 0)
        shares = (struct lt_shares){.batch = 1, .local = 1}; /* level 1 says so */
    g = lt_graph_import(plan, fields, n_fields, LT_PROGRAM_STEP, shares.batch / shares.local,
                        problems, NULL);
    if (g) {
        check_trains(g, problems);
        check_passes(plan, &shares, g, problems);
    }
    lt_graph_free(g);
    return problems->errors == before ? 0 : -1;
}
