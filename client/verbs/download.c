/* download.c - ltctl download JOB best|last|NAME DIR */
#include "client/ctl.h"
#include "client/receive.h"

static int run(struct lt_ctl *ctl)
{
    Lt__V1__DownloadRequest q = LT__V1__DOWNLOAD_REQUEST__INIT;
    int rc = lt_ctl_connect(ctl);

    q.job_id = (char *)ctl->args[0];
    q.checkpoint = (char *)ctl->args[1];
    return rc ? rc : lt_receive(ctl, &q, ctl->args[2], NULL);
}

const struct lt_verb lt_verb_download = {
    .name = "download",
    .arguments = "JOB best|last|NAME DIR",
    .summary = "Copy a checkpoint's files into a folder",
    .details = "model.safetensors in it opens with the safetensors library of any language.",
    .min_args = 3,
    .max_args = 3,
    .flags = LT_VERB_DAEMON,
    .run = run,
};
