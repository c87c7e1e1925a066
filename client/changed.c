/* changed.c - the spec in a job's first event, with --set applied */
#include "client/changed.h"

#include <unistd.h>

#include "base/auto.h"
#include "base/mem.h"
#include "base/problem.h"
#include "client/ctl.h"
#include "client/files.h"
#include "client/stream.h"
#include "proto/plan.h"
#include "proto/text/text.h"

struct find {
    struct lt_ctl *ctl;
    const char *job;
    Lt__V1__EventsRequest request;
    Lt__V1__JobSpec *spec;
};

static const ProtobufCMessage *request(void *arg, ProtobufCBinaryData cursor)
{
    struct find *f = arg;

    lt__v1__events_request__init(&f->request);
    f->request.job_id = (char *)f->job;
    f->request.has_cursor = cursor.len > 0;
    f->request.cursor = cursor;
    return &f->request.base;
}

static int reply(void *arg, const ProtobufCMessage *m, ProtobufCBinaryData *cursor)
{
    const Lt__V1__EventsResponse *r = (const Lt__V1__EventsResponse *)m;
    struct find *f = arg;

    for (size_t i = 0; i < r->n_events; i++) {
        const Lt__V1__Event *e = r->events[i];

        if (e->type_case == LT__V1__EVENT__TYPE_SUBMITTED && e->submitted->spec) {
            f->spec = (Lt__V1__JobSpec *)lt_message_copy(&e->submitted->spec->base, f->ctl->arena);
            return 1;
        }
    }
    *cursor = r->cursor;
    return r->end != NULL;
}

/* The plan as it was submitted stands in the job's first event. */
static int find_spec(struct lt_ctl *ctl, const char *job, Lt__V1__JobSpec **out)
{
    struct find f = {.ctl = ctl, .job = job};
    const struct lt_stream s = {.method = "/lt.v1.Jobs/Events",
                                .out = &lt__v1__events_response__descriptor,
                                .request = request,
                                .reply = reply,
                                .arg = &f};
    int rc = lt_stream_run(ctl, &s);

    if (rc == 0 && (!f.spec || f.spec->kind_case == LT__V1__JOB_SPEC__KIND_EVALUATION))
        rc = lt_ctl_fail(ctl, LT_EXIT_ERROR, "job %s has no plan to go on with", job);
    *out = f.spec;
    return rc;
}

int lt_changed_spec(struct lt_ctl *ctl, const char *job, Lt__V1__JobSpec **out)
{
    LT_AUTO(lt_free) char *here = NULL;
    struct lt_problems problems = {0};
    Lt__V1__JobSpec *spec;
    const char *const *sets;
    size_t n;
    int rc;

    *out = NULL;
    sets = lt_ctl_list(ctl, "set", &n);
    if (n == 0)
        return 0;
    rc = find_spec(ctl, job, &spec);
    if (rc)
        return rc;
    here = lt_malloc(4096);
    spec =
        lt_text_apply_sets(spec, sets, n, getcwd(here, 4096) ? here : "/", ctl->arena, &problems);
    if (spec)
        lt_plan_validate(spec, &problems);
    lt_ctl_problems(NULL, &problems);
    if (!spec || problems.errors)
        rc = lt_ctl_fail(ctl, LT_EXIT_REFUSED,
                         "the changed plan has %zu problem%s, listed above; nothing was submitted",
                         problems.errors, problems.errors == 1 ? "" : "s");
    else
        rc = lt_files_address(ctl, spec);
    if (rc == 0)
        rc = lt_files_send(ctl);
    if (rc == 0)
        *out = spec;
    lt_problems_done(&problems);
    return rc;
}
