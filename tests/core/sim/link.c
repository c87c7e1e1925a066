/* link.c - streams between agents and the coordinator: in order, until they break and lose what was
 * under way
 *
 * Both ends notice late, each in its own time: an agent may be back over a new link before the
 * coordinator has noticed that the old one is gone.
 */
#include "tests/core/sim/sim.h"

#include "base/mem.h"

struct message {
    struct link *link;
    bool to_agent;
    struct blob data;
};

struct link *link_open(struct sim *s, struct node *node)
{
    struct link *l = lt_calloc(1, sizeof *l);

    l->session = ++s->next_session;
    l->node = node;
    l->epoch = s->coord.epoch;
    l->up = true;
    LT_GROW(s->links, s->n_links, s->cap_links);
    s->links[s->n_links++] = l;
    return l;
}

static void coordinator_notices(struct sim *s, void *arg, uint64_t epoch)
{
    struct link *l = arg;
    struct lt_core_input in = {.kind = LT_IN_AGENT_LOST, .session = l->session};

    if (epoch == s->coord.epoch)
        coord_input(s, &in);
}

static void agent_notices(struct sim *s, void *arg, uint64_t n)
{
    struct link *l = arg;

    (void)n;
    node_lost_link(s, l->node, l);
}

void link_break(struct sim *s, struct link *l)
{
    if (!l->up)
        return;
    l->up = false;
    l->cut_at = s->mono + sim_below(s, 500 * MS);
    sim_trace(s, "session %llu of %s breaks", (unsigned long long)l->session, l->node->name);
    sim_at(s, sim_below(s, 15 * SEC), coordinator_notices, l, l->epoch);
    sim_at(s, sim_below(s, 5 * SEC), agent_notices, l, 0);
}

static void to_coordinator(struct sim *s, struct link *l, struct blob data)
{
    struct lt_core_input in = {.kind = LT_IN_AGENT, .session = l->session};
    Lt__V1__AgentMessage *m = lt__v1__agent_message__unpack(NULL, data.len, data.data);

    in.message = m;
    if (l->epoch == s->coord.epoch) {
        if (s->mono - l->node->heard_ns >= 300 * SEC)
            l->node->silence_over_ns = s->mono;
        l->node->heard_ns = s->mono;
    }
    if (m->message_case == LT__V1__AGENT_MESSAGE__MESSAGE_HELLO && l->epoch == s->coord.epoch) {
        l->node->told[1] = l->node->told[0];
        l->node->told[0] = m->hello->inventory->cpus;
    }
    if (l->epoch == s->coord.epoch)
        coord_input(s, &in);
    lt__v1__agent_message__free_unpacked(m, NULL);
}

static void to_agent(struct sim *s, struct link *l, struct blob data)
{
    Lt__V1__CoordinatorMessage *m = lt__v1__coordinator_message__unpack(NULL, data.len, data.data);

    if (l->node->up && l->node->link == l)
        node_receive(s, l->node, l, m);
    lt__v1__coordinator_message__free_unpacked(m, NULL);
}

static void message_free(void *arg)
{
    struct message *m = arg;

    lt_free(m->data.data);
    lt_free(m);
}

static void deliver(struct sim *s, void *arg, uint64_t n)
{
    struct message *m = arg;

    (void)n;
    if (m->to_agent && m->link->up)
        to_agent(s, m->link, m->data);
    if (!m->to_agent && (m->link->up || s->mono < m->link->cut_at))
        to_coordinator(s, m->link, m->data);
    message_free(m);
}

void link_send(struct sim *s, struct link *l, bool to_agent, struct blob data)
{
    uint64_t at = s->mono + sim_between(s, MS, sim_fault(s, 50) ? 3 * SEC : 50 * MS);
    struct message *m;

    if (!l->up) {
        lt_free(data.data);
        return;
    }
    m = lt_malloc(sizeof *m);
    *m = (struct message){l, to_agent, data};
    if (at < l->last[to_agent])
        at = l->last[to_agent];
    l->last[to_agent] = at;
    sim_at_owned(s, at - s->mono, deliver, m, message_free);
}
