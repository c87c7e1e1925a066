/* agents.c - the nodes' sessions
 *
 * A session number stands for one connection. What the core wants sent mustn't be lost: it goes
 * behind the outbox's limit, and an agent that doesn't read at all is dropped; it comes back, says
 * what it knows, and gets the rest.
 */
#include "base/mem.h"
#include "daemon/coord/internal.h"
#include "daemon/store/metrics.h"
#include "rpc/server.h"
#include "sys/log.h"

#define QUEUE_MAX (64u << 20)

static struct lt_coord_agent **find(struct lt_coord *c, uint64_t session)
{
    struct lt_coord_agent **p = &c->agents;

    while (*p && (*p)->session != session)
        p = &(*p)->next;
    return p;
}

uint64_t lt_coord_agent_open(struct lt_coord *c, struct lt_rpc_call *call)
{
    struct lt_coord_agent *a;

    if (c->broken.code || !c->core)
        return 0;
    a = lt_calloc(1, sizeof *a);
    a->session = ++c->last_session;
    a->call = call;
    a->next = c->agents;
    c->agents = a;
    return a->session;
}

static void hello(struct lt_coord *c, uint64_t session, const Lt__V1__AgentMessage *m)
{
    const Lt__V1__Hello *h = m->hello;
    uint64_t *stored = lt_calloc(h->n_attempts + 1, sizeof *stored);
    bool known = true;

    lt_coord_flush(c); /* what was heard of these attempts is stored before it is looked for */
    for (size_t i = 0; i < h->n_attempts && known; i++)
        known = lt_metrics_offset(c->metrics, h->attempts[i]->job ? h->attempts[i]->job : "",
                                  h->attempts[i]->attempt, h->attempts[i]->rank, &stored[i],
                                  NULL) == 0;
    lt_coord_step(c, &(struct lt_core_input){.kind = LT_IN_AGENT,
                                             .session = session,
                                             .message = m,
                                             .stored = known ? stored : NULL});
    if (known)
        lt_coord_metrics_hello(c, session, h, stored);
    lt_free(stored);
}

void lt_coord_agent_message(struct lt_coord *c, uint64_t session, const Lt__V1__AgentMessage *m)
{
    const struct lt_coord_agent *a = *find(c, session);

    if (!a || a->dropped || lt_coord_request_answer(c, m))
        return;
    switch (m->message_case) {
    case LT__V1__AGENT_MESSAGE__MESSAGE_BLOB_REQUEST:
        lt_coord_blob_asked(c, session, m->blob_request);
        break;
    case LT__V1__AGENT_MESSAGE__MESSAGE_HELLO:
        hello(c, session, m);
        lt_coord_blobs_hello(c, session, m->hello);
        break;
    default:
        lt_coord_step(
            c, &(struct lt_core_input){.kind = LT_IN_AGENT, .session = session, .message = m});
        lt_coord_metrics_heard(c, m);
        break;
    }
}

void lt_coord_agent_closed(struct lt_coord *c, uint64_t session)
{
    struct lt_coord_agent **p = find(c, session), *a = *p;

    if (!a)
        return;
    *p = a->next;
    lt_free(a);
    lt_coord_requests_lost(c, session);
    lt_coord_metrics_lost(c, session);
    lt_coord_step(c, &(struct lt_core_input){.kind = LT_IN_AGENT_LOST, .session = session});
}

void lt_coord_agent_send(struct lt_coord *c, uint64_t session, const void *data, size_t n)
{
    struct lt_coord_agent *a = *find(c, session);

    if (!a)
        return;
    if (lt_rpc_queued(a->call) > QUEUE_MAX)
        lt_coord_agent_drop(c, session, "it doesn't read");
    else
        lt_rpc_send_packed(a->call, data, n);
}

/* The call's end comes back as lt_coord_agent_closed(). */
void lt_coord_agent_drop(struct lt_coord *c, uint64_t session, const char *why)
{
    struct lt_coord_agent *a = *find(c, session);

    if (!a)
        return;
    a->dropped = true;
    lt_warning("agent's session %llu is closed: %s", (unsigned long long)session, why);
    lt_rpc_finish(a->call, LT_RPC_UNAVAILABLE, "%s", why);
}

void lt_coord_agents_drop(struct lt_coord *c, const char *why)
{
    for (struct lt_coord_agent *a = c->agents; a; a = a->next)
        lt_coord_agent_drop(c, a->session, why);
}
