/* job_verb.c - one request about each job */
#include "client/job_verb.h"

#include <unistd.h>

#include "client/ctl.h"

int lt_job_verb(struct lt_ctl *ctl, const char *method, const char *says)
{
    int first = lt_ctl_connect(ctl);

    for (int i = 0; i < ctl->n_args && ctl->client; i++) {
        Lt__V1__JobRequest q = LT__V1__JOB_REQUEST__INIT;
        Lt__V1__JobStatus *s = NULL;
        int rc;

        q.job_id = (char *)ctl->args[i];
        rc = lt_ctl_call(ctl, method, &q, &lt__v1__job_status__descriptor, &s);
        if (rc == 0 && isatty(2))
            lt_ctl_note("%s %s", s->id ? s->id : ctl->args[i], says);
        first = first ? first : rc;
    }
    return first;
}
