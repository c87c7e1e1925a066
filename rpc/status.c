/* status.c - codes, and the details that travel beside them */
#include "rpc/status.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "base/arena.h"
#include "base/auto.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "lt/v1/events.pb-c.h"
#include "lt/v1/status.pb-c.h"
#include "proto/wire.h"

#define PROBLEM_TYPE "type.googleapis.com/lt.v1.Problem"
#define DETAILS_ARENA (256u << 10)

/* The first row with an errno is the one that lt_rpc_code_of_errno() gives. */
static const struct {
    const char *name;
    int rc;
} codes[LT_RPC_CODE_N] = {
    [LT_RPC_OK] = {"OK", 0},
    [LT_RPC_CANCELLED] = {"CANCELLED", -ECANCELED},
    [LT_RPC_UNKNOWN] = {"UNKNOWN", -EREMOTEIO},
    [LT_RPC_INVALID_ARGUMENT] = {"INVALID_ARGUMENT", -EINVAL},
    [LT_RPC_DEADLINE_EXCEEDED] = {"DEADLINE_EXCEEDED", -ETIMEDOUT},
    [LT_RPC_NOT_FOUND] = {"NOT_FOUND", -ENOENT},
    [LT_RPC_ALREADY_EXISTS] = {"ALREADY_EXISTS", -EEXIST},
    [LT_RPC_PERMISSION_DENIED] = {"PERMISSION_DENIED", -EPERM},
    [LT_RPC_RESOURCE_EXHAUSTED] = {"RESOURCE_EXHAUSTED", -ENOSPC},
    [LT_RPC_FAILED_PRECONDITION] = {"FAILED_PRECONDITION", -EBUSY},
    [LT_RPC_ABORTED] = {"ABORTED", -ECONNABORTED},
    [LT_RPC_OUT_OF_RANGE] = {"OUT_OF_RANGE", -ERANGE},
    [LT_RPC_UNIMPLEMENTED] = {"UNIMPLEMENTED", -ENOSYS},
    [LT_RPC_INTERNAL] = {"INTERNAL", -EIO},
    [LT_RPC_UNAVAILABLE] = {"UNAVAILABLE", -ECONNREFUSED},
    [LT_RPC_DATA_LOSS] = {"DATA_LOSS", -EBADMSG},
    [LT_RPC_UNAUTHENTICATED] = {"UNAUTHENTICATED", -EACCES},
};

void lt_rpc_status_done(struct lt_rpc_status *s)
{
    lt_problems_done(&s->problems);
    memset(s, 0, sizeof *s);
}

const char *lt_rpc_code_name(enum lt_rpc_code c)
{
    return (unsigned)c < LT_RPC_CODE_N ? codes[c].name : "UNKNOWN";
}

int lt_rpc_code_errno(enum lt_rpc_code c)
{
    return (unsigned)c < LT_RPC_CODE_N ? codes[c].rc : -EREMOTEIO;
}

enum lt_rpc_code lt_rpc_code_of_errno(int rc)
{
    if (rc == -ENOMEM || rc == -EDQUOT || rc == -EAGAIN)
        return LT_RPC_RESOURCE_EXHAUSTED;
    if (rc == -EPROTO || rc == -E2BIG || rc == -ENAMETOOLONG)
        return LT_RPC_INVALID_ARGUMENT;
    if (rc == -ENOTCONN || rc == -EPIPE)
        return LT_RPC_UNAVAILABLE;
    if (rc == -ENOTDIR)
        return LT_RPC_NOT_FOUND;
    for (int c = 0; c < LT_RPC_CODE_N; c++)
        if (codes[c].rc == rc)
            return (enum lt_rpc_code)c;
    return LT_RPC_INTERNAL;
}

/* lt.v1.Problem of one problem, packed. */
static void problem_pack(const struct lt_problem *p, struct lt_buf *out)
{
    Lt__V1__Problem m = LT__V1__PROBLEM__INIT;
    size_t n;

    m.path = p->path;
    m.reason = p->reason;
    m.remedy = p->remedy && p->remedy[0] ? p->remedy : NULL;
    m.has_line = m.has_column = p->line > 0;
    m.line = (uint32_t)p->line;
    m.column = (uint32_t)p->column;
    m.has_severity = p->warning;
    m.severity = p->warning ? LT__V1__PROBLEM__SEVERITY__WARNING : LT__V1__PROBLEM__SEVERITY__ERROR;
    n = lt__v1__problem__get_packed_size(&m);
    lt_buf_reserve(out, n);
    out->len += lt__v1__problem__pack(&m, (uint8_t *)out->data + out->len);
}

void lt_rpc_status_pack(const struct lt_rpc_status *s, struct lt_buf *out)
{
    Lt__V1__RpcStatus m = LT__V1__RPC_STATUS__INIT;
    Lt__V1__RpcDetail details[LT_PROBLEMS_MAX], *pointers[LT_PROBLEMS_MAX];
    struct lt_buf values[LT_PROBLEMS_MAX] = {{0}};
    char text[sizeof s->text];

    snprintf(text, sizeof text, "%s", s->text);
    m.has_code = true;
    m.code = (int32_t)s->code;
    m.message = text;
    m.details = pointers;
    for (size_t i = 0; i < s->problems.len && i < LT_PROBLEMS_MAX; i++) {
        problem_pack(&s->problems.items[i], &values[i]);
        lt__v1__rpc_detail__init(&details[i]);
        details[i].type_url = (char *)PROBLEM_TYPE;
        details[i].has_value = true;
        details[i].value = (ProtobufCBinaryData){values[i].len, (uint8_t *)values[i].data};
        pointers[i] = &details[i];
        m.n_details = i + 1;
        if (lt__v1__rpc_status__get_packed_size(&m) > LT_RPC_DETAILS_MAX) {
            m.n_details = i;
            break;
        }
    }
    lt_buf_reserve(out, lt__v1__rpc_status__get_packed_size(&m));
    out->len += lt__v1__rpc_status__pack(&m, (uint8_t *)out->data + out->len);
    for (size_t i = 0; i < LT_PROBLEMS_MAX; i++)
        lt_buf_done(&values[i]);
}

static void detail_unpack(struct lt_rpc_status *s, const Lt__V1__RpcDetail *d,
                          struct lt_arena *arena)
{
    Lt__V1__Problem *m;
    struct lt_problem *p;
    struct lt_problem *(*add)(struct lt_problems *, const char *, const char *, const char *, ...);

    if (!lt_str_eq(d->type_url, PROBLEM_TYPE) ||
        lt_wire_decode(&lt__v1__problem__descriptor, d->value.data, d->value.len, arena,
                       (ProtobufCMessage **)&m, NULL) < 0)
        return;
    add = m->severity == LT__V1__PROBLEM__SEVERITY__WARNING ? lt_problem_warn : lt_problem_add;
    p = add(&s->problems, m->path ? m->path : "", m->remedy, "%s", m->reason ? m->reason : "");
    if (p) {
        p->line = (int)m->line;
        p->column = (int)m->column;
    }
}

void lt_rpc_status_unpack(struct lt_rpc_status *s, const void *data, size_t n)
{
    LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(DETAILS_ARENA);
    Lt__V1__RpcStatus *m;

    if (lt_wire_decode(&lt__v1__rpc_status__descriptor, data, n, arena, (ProtobufCMessage **)&m,
                       NULL) < 0)
        return;
    for (size_t i = 0; i < m->n_details; i++)
        detail_unpack(s, m->details[i], arena);
}
