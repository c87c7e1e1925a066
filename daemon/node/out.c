/* out.c - messages to the coordinator
 *
 * What answers a request is queued here when the session's outbox is full, and goes before what is
 * read from somewhere (records): its reader just stops and goes on later, so that memory stays
 * bounded. A lost session drops everything: the coordinator asks again, and what matters is in the
 * hello.
 */
#include <errno.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "daemon/node/internal.h"
#include "rpc/session.h"
#include "sys/log.h"

struct packed {
    struct packed *next;
    size_t n;
    uint8_t bytes[];
};

struct lt_node_out {
    struct packed *first, **last;
};

struct lt_node_out *lt_node_out_new(void)
{
    struct lt_node_out *o = lt_calloc(1, sizeof *o);

    o->last = &o->first;
    return o;
}

static void pop(struct lt_node_out *o)
{
    struct packed *p = o->first;

    o->first = p->next;
    if (!o->first)
        o->last = &o->first;
    lt_free(p);
}

void lt_node_out_free(struct lt_node_out *o)
{
    while (o->first)
        pop(o);
    lt_free(o);
}

void lt_node_out_drop(struct lt_node *n)
{
    while (n->out->first)
        pop(n->out);
}

static void push(struct lt_node_out *o, const Lt__V1__AgentMessage *m)
{
    size_t size = lt__v1__agent_message__get_packed_size(m);
    struct packed *p = lt_malloc(sizeof *p + size);

    p->next = NULL;
    p->n = lt__v1__agent_message__pack(m, p->bytes);
    *o->last = p;
    o->last = &p->next;
}

static int put(struct lt_node *n, const Lt__V1__AgentMessage *m)
{
    return n->open && n->session ? lt_rpc_session_send(n->session, &m->base) : -ENOTCONN;
}

static Lt__V1__AgentMessage envelope(Lt__V1__AgentMessage__MessageCase kind, void *payload)
{
    Lt__V1__AgentMessage m = LT__V1__AGENT_MESSAGE__INIT;

    m.message_case = kind;
    m.hello = payload; /* all members are pointers in one union */
    return m;
}

int lt_node_try(struct lt_node *n, Lt__V1__AgentMessage__MessageCase kind, void *payload)
{
    Lt__V1__AgentMessage m = envelope(kind, payload);

    return n->out->first ? -EAGAIN : put(n, &m);
}

void lt_node_send(struct lt_node *n, Lt__V1__AgentMessage__MessageCase kind, void *payload)
{
    Lt__V1__AgentMessage m = envelope(kind, payload);

    if (n->out->first || put(n, &m) == -EAGAIN)
        push(n->out, &m);
}

bool lt_node_out_empty(const struct lt_node *n)
{
    return !n->out->first;
}

bool lt_node_flush(struct lt_node *n)
{
    while (n->out->first) {
        const struct packed *p = n->out->first;
        Lt__V1__AgentMessage *m =
            lt__v1__agent_message__unpack(NULL, p->n, p->bytes); /* our own bytes */
        int rc = m ? put(n, m) : 0;

        lt__v1__agent_message__free_unpacked(m, NULL);
        if (rc == -EAGAIN)
            return false;
        pop(n->out);
    }
    return true;
}
