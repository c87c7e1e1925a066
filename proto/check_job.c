/* check_job.c - name, recovery, resources, what a job continues */
#include <string.h>
#include "base/problem.h"
#include "proto/checks.h"

#define NAME_MAX_BYTES 200

/* It stands in tables and on terminals, other people's too. */
static void check_name(const struct lt_check *c, const char *name)
{
    const char *path = lt_check_path(c, "name");
    size_t len = strlen(name);

    if (len > NAME_MAX_BYTES)
        lt_problem_add(c->problems, path, "shorten it",
                       "a name of %zu bytes; at most %d are allowed", len, NAME_MAX_BYTES);
    for (size_t i = 0; i < len; i++) {
        unsigned char b = (unsigned char)name[i];

        if (b >= 0x20 && b != 0x7f && !(b == 0xc2 && (unsigned char)name[i + 1] < 0xa0))
            continue;
        lt_problem_add(c->problems, path, "write letters, digits and signs on one line",
                       "the name has a control character at byte %zu", i);
        return;
    }
}

static void check_recovery(const struct lt_check *c, const Lt__V1__Recovery *r)
{
    if (r->every && r->has_every_n_steps)
        lt_problem_add(c->problems, lt_check_path(c, "job.recovery.every_n_steps"),
                       "keep every or every_n_steps", "every and every_n_steps are both given");
    if (r->every && (!r->every->has_seconds || r->every->seconds == 0))
        lt_problem_add(c->problems, lt_check_path(c, "job.recovery.every"),
                       "write a time above 0, like 60s", "is 0");
}

static void check_resources(const struct lt_check *c, const Lt__V1__Resources *r)
{
    if (r->cpus && r->cpus->value_case == LT__V1__COUNT_OR_AUTO__VALUE_COUNT && !r->cpus->count)
        lt_problem_add(c->problems, lt_check_path(c, "job.resources.cpus"),
                       "write a number from 1, or auto", "nothing runs on 0 processors");
    if (r->cpus && r->cpus->value_case == LT__V1__COUNT_OR_AUTO__VALUE_AUTO && !r->cpus->auto_)
        lt_problem_add(c->problems, lt_check_path(c, "job.resources.cpus"),
                       "write a number or auto", "auto is false");
}

void lt_check_job_of(const struct lt_check *c, const char *name, const Lt__V1__Job *j)
{
    if (name)
        check_name(c, name);
    if (!j)
        return;
    if (j->time_limit && (!j->time_limit->has_seconds || j->time_limit->seconds == 0))
        lt_problem_add(c->problems, lt_check_path(c, "job.time_limit"),
                       "write a time above 0, like 12:00:00", "leaves no time to run");
    if (j->recovery)
        check_recovery(c, j->recovery);
    if (j->resources)
        check_resources(c, j->resources);
}

void lt_check_job(const struct lt_check *c)
{
    const Lt__V1__Resume *r = c->plan->resume;

    lt_check_job_of(c, c->plan->name, c->plan->job);
    if (r && !(r->job && *r->job) && !(r->path && *r->path))
        lt_problem_add(c->problems, lt_check_path(c, "resume.job"),
                       "write the id of the job to continue, or `ltctl resume ID`", "is missing");
}
