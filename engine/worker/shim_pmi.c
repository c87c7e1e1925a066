/* shim_pmi.c - PMI-1 for one rank
 *
 * Most requests are answered here. A put is answered at once and told to the agent behind the rank's
 * back; a get and a barrier wait for the agent, and so does everything the rank sends meanwhile
 * (PMI-1 has one request at a time). finalize is answered at once: MPI_Finalize has met all others
 * in a barrier before. Keys that begin with PMI_ are the launcher's own; only one of them exists.
 */
#include "engine/worker/shim_pmi.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "sys/log.h"
#include "sys/pmi.h"

#define PUTS_MAX 65536
#define PUT_BYTES_MAX (16u << 20)

enum pending { PENDING_NONE, PENDING_GET, PENDING_BARRIER };

struct put {
    char *key, *value;
};

struct lt_shim_pmi {
    struct lt_shim_pmi_config c;
    char *job, *kvs;
    struct lt_buf from_rank, from_agent, to_rank, to_agent;
    struct put *puts;
    size_t n_puts, cap_puts, put_bytes;
    enum pending pending;
    char *key;        /* of the pending get */
    uint64_t gets;    /* number of the newest */
    uint64_t barrier; /* that this rank is beyond */
    bool connected, refused, hang_up;
};

struct lt_shim_pmi *lt_shim_pmi_new(const struct lt_shim_pmi_config *c)
{
    struct lt_shim_pmi *p = lt_calloc(1, sizeof *p);

    p->c = *c;
    p->job = lt_strdup(c->job);
    p->c.job = p->job;
    p->kvs = lt_format("kvs_%s_%u", c->job, c->generation);
    return p;
}

void lt_shim_pmi_free(struct lt_shim_pmi *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->n_puts; i++) {
        lt_free(p->puts[i].key);
        lt_free(p->puts[i].value);
    }
    lt_free(p->puts);
    lt_free(p->key);
    lt_free(p->job);
    lt_free(p->kvs);
    lt_buf_done(&p->from_rank);
    lt_buf_done(&p->from_agent);
    lt_buf_done(&p->to_rank);
    lt_buf_done(&p->to_agent);
    lt_free(p);
}

struct lt_buf *lt_shim_pmi_to_rank(struct lt_shim_pmi *p)
{
    return &p->to_rank;
}

struct lt_buf *lt_shim_pmi_to_agent(struct lt_shim_pmi *p)
{
    return &p->to_agent;
}

bool lt_shim_pmi_refused(const struct lt_shim_pmi *p)
{
    return p->refused;
}

size_t lt_shim_pmi_room(const struct lt_shim_pmi *p)
{
    return p->hang_up || p->from_rank.len >= LT_PMI_LINE_MAX ? 0
                                                             : LT_PMI_LINE_MAX - p->from_rank.len;
}

/* ---- to the agent */

static void tell(struct lt_shim_pmi *p, enum lt_pmi_kind kind, uint64_t seq, const char *key,
                 const char *value)
{
    struct lt_pmi_msg m = {.kind = kind,
                           .job = p->job,
                           .attempt = p->c.attempt,
                           .generation = p->c.generation,
                           .rank = p->c.rank,
                           .world = p->c.world,
                           .seq = seq,
                           .puts = p->n_puts,
                           .key = key,
                           .value = value};

    if (p->connected)
        lt_pmi_print(&m, &p->to_agent);
}

static void tell_pending(struct lt_shim_pmi *p)
{
    if (p->pending == PENDING_GET)
        tell(p, LT_PMI_GET, p->gets, p->key, NULL);
    else if (p->pending == PENDING_BARRIER)
        tell(p, LT_PMI_BARRIER, p->barrier + 1, NULL, NULL);
}

void lt_shim_pmi_connected(struct lt_shim_pmi *p)
{
    p->connected = true;
    p->to_agent.len = p->from_agent.len = 0;
    tell(p, LT_PMI_HELLO, p->barrier, NULL, NULL);
    for (size_t i = 0; i < p->n_puts; i++)
        tell(p, LT_PMI_PUT, i + 1, p->puts[i].key, p->puts[i].value);
    tell_pending(p);
}

void lt_shim_pmi_disconnected(struct lt_shim_pmi *p)
{
    p->connected = false;
    p->to_agent.len = p->from_agent.len = 0;
}

/* ---- PMI-1's requests */

static void answer(struct lt_shim_pmi *p, const char *text)
{
    lt_buf_printf(&p->to_rank, "cmd=%s\n", text);
}

static void fail(struct lt_shim_pmi *p, const char *cmd, const char *why)
{
    lt_buf_printf(&p->to_rank, "cmd=%s rc=-1 msg=%s\n", cmd, why);
}

static void do_init(struct lt_shim_pmi *p, const struct lt_pmi_words *w)
{
    const char *version = lt_pmi_word(w, "pmi_version");

    if (version && !lt_str_eq(version, "1"))
        fail(p, "response_to_init", "only_version_1");
    else
        answer(p, "response_to_init pmi_version=1 pmi_subversion=1 rc=0");
}

static void do_get_maxes(struct lt_shim_pmi *p, const struct lt_pmi_words *w)
{
    (void)w;
    lt_buf_printf(&p->to_rank, "cmd=maxes kvsname_max=%d keylen_max=%d vallen_max=%d rc=0\n",
                  LT_PMI_NAME_MAX, LT_PMI_KEY_MAX, LT_PMI_VALUE_MAX);
}

static void do_get_appnum(struct lt_shim_pmi *p, const struct lt_pmi_words *w)
{
    (void)w;
    answer(p, "appnum appnum=0 rc=0");
}

static void do_get_my_kvsname(struct lt_shim_pmi *p, const struct lt_pmi_words *w)
{
    (void)w;
    lt_buf_printf(&p->to_rank, "cmd=my_kvsname kvsname=%s rc=0\n", p->kvs);
}

static void do_get_universe_size(struct lt_shim_pmi *p, const struct lt_pmi_words *w)
{
    (void)w;
    lt_buf_printf(&p->to_rank, "cmd=universe_size size=%u rc=0\n", p->c.world);
}

static bool key_is_sane(const char *key)
{
    return key && key[0] && strlen(key) < LT_PMI_KEY_MAX;
}

static void do_put(struct lt_shim_pmi *p, const struct lt_pmi_words *w)
{
    const char *key = lt_pmi_word(w, "key"), *value = lt_pmi_word(w, "value");

    if (!key_is_sane(key) || !value || strlen(value) >= LT_PMI_VALUE_MAX) {
        fail(p, "put_result", "bad_key_or_value");
        return;
    }
    if (p->n_puts == PUTS_MAX || p->put_bytes + strlen(value) > PUT_BYTES_MAX) {
        fail(p, "put_result", "too_much_was_put");
        return;
    }
    LT_GROW(p->puts, p->n_puts, p->cap_puts);
    p->puts[p->n_puts++] = (struct put){lt_strdup(key), lt_strdup(value)};
    p->put_bytes += strlen(value);
    tell(p, LT_PMI_PUT, p->n_puts, key, value);
    answer(p, "put_result rc=0 msg=success");
}

static void do_get(struct lt_shim_pmi *p, const struct lt_pmi_words *w)
{
    const char *key = lt_pmi_word(w, "key");
    uint32_t local = p->c.local_world ? p->c.local_world : p->c.world;

    if (!key_is_sane(key)) {
        fail(p, "get_result", "bad_key");
    } else if (lt_str_eq(key, "PMI_process_mapping")) {
        lt_buf_printf(&p->to_rank, "cmd=get_result rc=0 msg=success value=(vector,(0,%u,%u))\n",
                      p->c.world / local, local);
    } else if (lt_str_starts(key, "PMI_")) {
        fail(p, "get_result", "key_not_found");
    } else if (p->refused) {
        fail(p, "get_result", "refused_by_ltd");
    } else {
        lt_free(p->key);
        p->key = lt_strdup(key);
        p->pending = PENDING_GET;
        p->gets++;
        tell_pending(p);
    }
}

static void do_barrier(struct lt_shim_pmi *p, const struct lt_pmi_words *w)
{
    (void)w;
    if (p->refused) {
        fail(p, "barrier_out", "refused_by_ltd");
        return;
    }
    p->pending = PENDING_BARRIER;
    tell_pending(p);
}

static void do_finalize(struct lt_shim_pmi *p, const struct lt_pmi_words *w)
{
    (void)w;
    answer(p, "finalize_ack rc=0");
}

/* It ends by itself, with the code it wants. */
static void do_abort(struct lt_shim_pmi *p, const struct lt_pmi_words *w)
{
    const char *code = lt_pmi_word(w, "exitcode");

    lt_warning("rank %u of %s called MPI_Abort (%s)", p->c.rank, p->job, code ? code : "no code");
}

static const struct {
    const char *name;
    void (*run)(struct lt_shim_pmi *p, const struct lt_pmi_words *w);
} requests[] = {
    {"init", do_init},
    {"get_maxes", do_get_maxes},
    {"get_appnum", do_get_appnum},
    {"get_my_kvsname", do_get_my_kvsname},
    {"get_universe_size", do_get_universe_size},
    {"put", do_put},
    {"get", do_get},
    {"barrier_in", do_barrier},
    {"finalize", do_finalize},
    {"abort", do_abort},
};

static void request(struct lt_shim_pmi *p, char *line)
{
    struct lt_pmi_words w;
    const char *cmd;

    if (lt_pmi_split(line, &w, NULL) < 0 || !(cmd = lt_pmi_word(&w, "cmd"))) {
        fail(p, "error", "malformed");
        p->hang_up = true;
        return;
    }
    for (size_t i = 0; i < LT_ARRAY_LEN(requests); i++) {
        if (strcmp(requests[i].name, cmd) == 0) {
            requests[i].run(p, &w);
            return;
        }
    }
    lt_buf_printf(&p->to_rank, "cmd=%.64s_result rc=-1 msg=not_supported\n", cmd);
}

/* The first line in b, taken out (the caller's); NULL: none yet. */
static char *take_line(struct lt_buf *b)
{
    char *end = b->len ? memchr(b->data, '\n', b->len) : NULL, *line;
    size_t n;

    if (!end)
        return NULL;
    n = (size_t)(end - b->data);
    line = lt_strndup(b->data, n);
    b->len -= n + 1;
    memmove(b->data, end + 1, b->len);
    return line;
}

static void run_requests(struct lt_shim_pmi *p)
{
    char *line;

    while (p->pending == PENDING_NONE && !p->hang_up && (line = take_line(&p->from_rank))) {
        request(p, line);
        lt_free(line);
    }
    if (p->pending == PENDING_NONE && !p->hang_up && p->from_rank.len >= LT_PMI_LINE_MAX) {
        fail(p, "error", "line_too_long");
        p->hang_up = true;
    }
}

bool lt_shim_pmi_from_rank(struct lt_shim_pmi *p, const void *data, size_t n)
{
    if (p->hang_up)
        return false;
    lt_buf_append(&p->from_rank, data, LT_MIN(n, lt_shim_pmi_room(p)));
    run_requests(p);
    return !p->hang_up;
}

/* ---- from the agent */

static void refuse(struct lt_shim_pmi *p, const char *why)
{
    lt_warning("rank %u of %s: the agent refuses: %s", p->c.rank, p->job, why ? why : "no reason");
    p->refused = true;
    if (p->pending == PENDING_GET)
        fail(p, "get_result", "refused_by_ltd");
    else if (p->pending == PENDING_BARRIER)
        fail(p, "barrier_out", "refused_by_ltd");
    p->pending = PENDING_NONE;
}

static bool is_ours(const struct lt_shim_pmi *p, const struct lt_pmi_msg *m)
{
    return strcmp(m->job, p->job) == 0 && m->attempt == p->c.attempt &&
           m->generation == p->c.generation && m->rank == p->c.rank;
}

static bool reply(struct lt_shim_pmi *p, char *line)
{
    struct lt_pmi_msg m;

    if (lt_pmi_parse(line, &m, NULL) < 0 || !is_ours(p, &m))
        return false;
    if (m.kind == LT_PMI_REFUSED) {
        refuse(p, m.text);
        return false;
    }
    if (m.kind == LT_PMI_OUT && p->pending == PENDING_BARRIER && m.seq == p->barrier + 1) {
        p->barrier++;
        answer(p, "barrier_out rc=0");
        p->pending = PENDING_NONE;
    } else if (p->pending == PENDING_GET && m.seq == p->gets && m.kind == LT_PMI_VALUE) {
        lt_buf_printf(&p->to_rank, "cmd=get_result rc=0 msg=success value=%s\n", m.value);
        p->pending = PENDING_NONE;
    } else if (p->pending == PENDING_GET && m.seq == p->gets && m.kind == LT_PMI_MISSING) {
        fail(p, "get_result", "key_not_found");
        p->pending = PENDING_NONE;
    } /* anything else answers what was answered before */
    return true;
}

bool lt_shim_pmi_from_agent(struct lt_shim_pmi *p, const void *data, size_t n)
{
    char *line;
    bool ok = true;

    if (!p->connected)
        return false;
    lt_buf_append(&p->from_agent, data, n);
    while (ok && (line = take_line(&p->from_agent))) {
        ok = reply(p, line);
        lt_free(line);
    }
    run_requests(p);
    return ok && p->from_agent.len < LT_PMI_LINE_MAX;
}
