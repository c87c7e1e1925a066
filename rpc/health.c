/* health.c - grpc.health.v1: the whole server serves, or it doesn't */
#include "base/mem.h"
#include "lt/v1/health.pb-c.h"
#include "rpc/internal.h"

#define STATUS(x) GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__##x

/* One open Watch. */
struct lt_health_watch {
    struct lt_health_watch *next, **link;
    struct lt_rpc_call *call;
    bool behind; /* the outbox was full at the last change */
};

static bool known(const Grpc__Health__V1__HealthCheckRequest *q)
{
    return !q->service || !q->service[0] || lt_rpc_knows_service(q->service);
}

static int tell(struct lt_rpc_call *c, Grpc__Health__V1__HealthCheckResponse__ServingStatus status)
{
    Grpc__Health__V1__HealthCheckResponse r = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;

    r.has_status = true;
    r.status = status;
    return lt_rpc_send(c, &r.base);
}

static Grpc__Health__V1__HealthCheckResponse__ServingStatus now(struct lt_rpc_call *c)
{
    return lt_rpc_call_server(c)->serving ? STATUS(SERVING) : STATUS(NOT_SERVING);
}

static void check(struct lt_rpc_call *c, ProtobufCMessage *m)
{
    Grpc__Health__V1__HealthCheckResponse r = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;

    if (!known((Grpc__Health__V1__HealthCheckRequest *)m)) {
        lt_rpc_finish(c, LT_RPC_NOT_FOUND, "no such service");
        return;
    }
    r.has_status = true;
    r.status = now(c);
    lt_rpc_reply(c, &r.base);
}

static void watch(struct lt_rpc_call *c, ProtobufCMessage *m)
{
    struct lt_rpc_server *s = lt_rpc_call_server(c);
    struct lt_health_watch *w;

    if (!known((Grpc__Health__V1__HealthCheckRequest *)m)) {
        tell(c, STATUS(SERVICE_UNKNOWN));
        return;
    }
    w = lt_calloc(1, sizeof *w);
    w->call = c;
    w->next = s->health_watches;
    if (w->next)
        w->next->link = &w->next;
    w->link = &s->health_watches;
    s->health_watches = w;
    lt_rpc_call_set(c, w);
    tell(c, now(c));
}

static void watch_writable(struct lt_rpc_call *c)
{
    struct lt_health_watch *w = lt_rpc_call_get(c);

    if (w && w->behind)
        w->behind = tell(c, now(c)) < 0;
}

static void watch_closed(struct lt_rpc_call *c, bool cancelled)
{
    struct lt_health_watch *w = lt_rpc_call_get(c);

    (void)cancelled;
    if (!w)
        return;
    *w->link = w->next;
    if (w->next)
        w->next->link = w->link;
    lt_free(w);
}

void lt_rpc_server_set_serving(struct lt_rpc_server *s, bool serving)
{
    if (s->serving == serving)
        return;
    s->serving = serving;
    for (struct lt_health_watch *w = s->health_watches; w; w = w->next)
        w->behind = tell(w->call, now(w->call)) < 0;
}

const struct lt_rpc_method lt_rpc_health_check = {
    .path = "/grpc.health.v1.Health/Check",
    .kind = LT_RPC_UNARY,
    .in = &grpc__health__v1__health_check_request__descriptor,
    .out = &grpc__health__v1__health_check_response__descriptor,
    .msg = check,
    .need = LT_RPC_NEED_TALK,
    .early = true,
};
const struct lt_rpc_method lt_rpc_health_watch = {
    .path = "/grpc.health.v1.Health/Watch",
    .kind = LT_RPC_SERVER_STREAM,
    .in = &grpc__health__v1__health_check_request__descriptor,
    .out = &grpc__health__v1__health_check_response__descriptor,
    .msg = watch,
    .writable = watch_writable,
    .closed = watch_closed,
    .need = LT_RPC_NEED_TALK,
    .early = true,
};
