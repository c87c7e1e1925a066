/* predict.c - ltctl predict JOB FILE: what a trained model says of samples */
#include "client/ctl.h"
#include "client/evaluate.h"
#include "client/receive.h"

static int run(struct lt_ctl *ctl)
{
    Lt__V1__DownloadRequest q = LT__V1__DOWNLOAD_REQUEST__INIT;
    const char *job;
    int rc = lt_evaluate(ctl, LT__V1__EVALUATION__MODE__PREDICT, &job);

    q.job_id = (char *)job;
    q.file = (char *)"predictions.f32";
    return rc ? rc : lt_receive(ctl, &q, NULL, ctl->args[1]);
}

const struct lt_verb lt_verb_predict = {
    .name = "predict",
    .arguments = "JOB FILE",
    .summary = "Write what a job's model says of each sample into a file",
    .details = "Runs as a job of its own, with JOB as its parent, waits for it, and writes the model's "
               "outputs for the samples of\ndata.predict, without one for those of data.test, into "
               "FILE: float32, little-endian, one sample after the other in\nthe data's order, "
               "nothing else. numpy.fromfile(FILE, numpy.float32).reshape(samples, -1) reads them.",
    .options = lt_evaluate_options,
    .n_options = 2,
    .min_args = 2,
    .max_args = 2,
    .flags = LT_VERB_DAEMON,
    .run = run,
};
