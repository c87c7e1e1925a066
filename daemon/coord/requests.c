/* requests.c - what the coordinator itself asks of nodes: bytes of files, checks of plans that are
 * no jobs yet, and that a run folder be removed
 *
 * Answers carry our number: ReadRequest.id, RemoveRun.id, and for checks a name in place of a job's id that no
 * job can have.
 */
#include <stdio.h>
#include <string.h>
#include "base/mem.h"
#include "base/str.h"
#include "daemon/coord/internal.h"
#include "daemon/core/query.h"
#include "lt/v1/agent.pb-c.h"

#define CHECK_PREFIX "check-"

static struct lt_coord_request *add(struct lt_coord *c, uint64_t session, void *arg)
{
    struct lt_coord_request *r = lt_calloc(1, sizeof *r);

    r->id = ++c->last_request;
    r->session = session;
    r->arg = arg;
    r->next = c->requests;
    c->requests = r;
    return r;
}

/* Takes it out of the list; NULL: not there (cancelled). The caller frees it. */
static struct lt_coord_request *take(struct lt_coord *c, uint64_t id)
{
    struct lt_coord_request **p = &c->requests, *r;

    while (*p && (*p)->id != id)
        p = &(*p)->next;
    r = *p;
    if (r)
        *p = r->next;
    return r;
}

void lt_coord_send(struct lt_coord *c, uint64_t session, const Lt__V1__CoordinatorMessage *m)
{
    size_t n = lt__v1__coordinator_message__get_packed_size(m);
    uint8_t *data = lt_malloc(n);

    lt__v1__coordinator_message__pack(m, data);
    lt_coord_agent_send(c, session, data, n);
    lt_free(data);
}

uint64_t lt_coord_read(struct lt_coord *c, const struct lt_coord_read *r, lt_coord_read_fn *fn,
                       void *arg)
{
    Lt__V1__CoordinatorMessage m = LT__V1__COORDINATOR_MESSAGE__INIT;
    Lt__V1__ReadRequest q = LT__V1__READ_REQUEST__INIT;
    uint64_t session = c->core ? lt_core_session(c->core, r->node) : 0;
    struct lt_coord_request *own;

    if (!session)
        return 0;
    own = add(c, session, arg);
    own->read = fn;
    q.has_id = q.has_offset = q.has_max_bytes = q.has_wait_ms = true;
    q.id = own->id;
    q.run_dir = (char *)r->run_dir;
    q.path = (char *)r->path;
    q.offset = r->offset;
    q.max_bytes = r->max_bytes;
    q.wait_ms = r->wait_ms;
    m.message_case = LT__V1__COORDINATOR_MESSAGE__MESSAGE_READ;
    m.read = &q;
    lt_coord_send(c, session, &m);
    return own->id;
}

uint64_t lt_coord_check(struct lt_coord *c, const Lt__V1__JobSpec *spec, lt_coord_check_fn *fn,
                        void *arg)
{
    Lt__V1__CoordinatorMessage m = LT__V1__COORDINATOR_MESSAGE__INIT;
    Lt__V1__CheckRequest q = LT__V1__CHECK_REQUEST__INIT;
    uint64_t session = c->core ? lt_core_session(c->core, NULL) : 0;
    struct lt_coord_request *own;
    char name[40];

    if (!session)
        return 0;
    own = add(c, session, arg);
    own->check = fn;
    snprintf(name, sizeof name, CHECK_PREFIX "%llu", (unsigned long long)own->id);
    q.job = name;
    q.spec = (Lt__V1__JobSpec *)spec;
    m.message_case = LT__V1__COORDINATOR_MESSAGE__MESSAGE_CHECK;
    m.check = &q;
    lt_coord_send(c, session, &m);
    return own->id;
}

uint64_t lt_coord_remove_run(struct lt_coord *c, const char *node, const char *job,
                             const char *run_dir, lt_coord_removed_fn *fn, void *arg)
{
    Lt__V1__CoordinatorMessage m = LT__V1__COORDINATOR_MESSAGE__INIT;
    Lt__V1__RemoveRun q = LT__V1__REMOVE_RUN__INIT;
    uint64_t session = c->core ? lt_core_session(c->core, node) : 0;
    struct lt_coord_request *own;

    if (!session)
        return 0;
    own = add(c, session, arg);
    own->removed = fn;
    q.has_id = true;
    q.id = own->id;
    q.job = (char *)job;
    q.run_dir = (char *)run_dir;
    m.message_case = LT__V1__COORDINATOR_MESSAGE__MESSAGE_REMOVE_RUN;
    m.remove_run = &q;
    lt_coord_send(c, session, &m);
    return own->id;
}

void lt_coord_request_cancel(struct lt_coord *c, uint64_t id)
{
    lt_free(take(c, id));
}

static void answer_check(struct lt_coord *c, const Lt__V1__CheckDone *done)
{
    struct lt_coord_request *r;
    uint64_t id;

    if (lt_parse_u64(done->job + strlen(CHECK_PREFIX), &id) < 0)
        return;
    r = take(c, id);
    if (r && r->check)
        r->check(r->arg, done);
    lt_free(r);
}

bool lt_coord_request_answer(struct lt_coord *c, const Lt__V1__AgentMessage *m)
{
    struct lt_coord_request *r;

    switch (m->message_case) {
    case LT__V1__AGENT_MESSAGE__MESSAGE_READ_REPLY:
        r = take(c, m->read_reply->id);
        if (r && r->read)
            r->read(r->arg, m->read_reply);
        lt_free(r);
        return true;
    case LT__V1__AGENT_MESSAGE__MESSAGE_RUN_REMOVED:
        r = take(c, m->run_removed->id);
        if (r && r->removed)
            r->removed(r->arg, m->run_removed);
        lt_free(r);
        return true;
    case LT__V1__AGENT_MESSAGE__MESSAGE_CHECK_DONE:
        if (!m->check_done->job || !lt_str_starts(m->check_done->job, CHECK_PREFIX))
            return false;
        answer_check(c, m->check_done);
        return true;
    case LT__V1__AGENT_MESSAGE__MESSAGE_CHECK_PROGRESS:
        return m->check_progress->job && lt_str_starts(m->check_progress->job, CHECK_PREFIX);
    default:
        return false;
    }
}

void lt_coord_requests_lost(struct lt_coord *c, uint64_t session)
{
    struct lt_coord_request *r = c->requests;

    while (r) {
        if (r->session != session) {
            r = r->next;
            continue;
        }
        take(c, r->id);
        if (r->read)
            r->read(r->arg, NULL);
        if (r->check)
            r->check(r->arg, NULL);
        if (r->removed)
            r->removed(r->arg, NULL);
        lt_free(r);
        r = c->requests; /* a callback may have cancelled others */
    }
}
