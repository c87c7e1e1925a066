/* validate.c - ltctl validate JOB: evaluate a trained model over the validation split */
#include "client/ctl.h"
#include "client/evaluate.h"

static int run(struct lt_ctl *ctl)
{
    const char *job;

    return lt_evaluate(ctl, LT__V1__EVALUATION__MODE__VALIDATE, &job);
}

const struct lt_verb lt_verb_validate = {
    .name = "validate",
    .arguments = "JOB",
    .summary = "Evaluate a job's model over its validation split",
    .details = "Runs as a job of its own, with JOB as its parent, and waits for it: on as many ranks as the "
               "plan has devices, or as --set\n"
               "trainer.devices=N says. -o json prints {\"val_loss\":…,\"val_acc\":…}.",
    .options = lt_evaluate_options,
    .n_options = 2,
    .min_args = 1,
    .max_args = 1,
    .flags = LT_VERB_DAEMON | LT_VERB_OUTPUT,
    .run = run,
};
