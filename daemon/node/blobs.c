/* blobs.c - the node's cache of files that plans name by content: <state>/node/blobs/ab/abcdef…
 *
 * Whoever needs one waits while it is fetched from the coordinator: once, however many wait, a
 * chunk at a time, written and hashed on the thread pool, and in its place only when its content
 * is what its name says. A lost session only means that the last chunk is asked for again; a lost
 * agent, that the next one fetches anew. The coordinator says when nobody needs it any more.
 */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "daemon/node/internal.h"
#include "daemon/store/blobs.h"
#include "proto/plan.h"
#include "sys/file.h"
#include "sys/log.h"

#define CHUNK (512u << 10)
#define FILES_MAX 4 /* of one plan */

struct lt_node_need {
    struct lt_node_need *next; /* among those that wait for the same */
    lt_node_need_fn *fn;       /* NULL: nobody waits any more */
    void *arg;
    char hashes[FILES_MAX][65];
    size_t n;
};

struct fetch {
    struct fetch *next;
    struct lt_node_blobs *owner;
    char hash[65];
    struct lt_blob_writer *w;
    struct lt_node_need *needs;
    bool asked; /* in this session */
    uv_work_t work;
    bool working;
    uint8_t *data; /* the chunk that is written */
    size_t n;
    uint64_t size; /* of the whole */
    struct lt_error err;
    int rc;
    bool whole;
};

struct lt_node_blobs {
    struct lt_node *node;
    char *dir;
    struct fetch *fetches;
    unsigned working;
    bool closed;
};

static void release(struct lt_node_blobs *b)
{
    struct lt_node *n = b->node;

    if (!b->closed || b->working > 0)
        return;
    lt_free(b->dir);
    lt_free(b);
    lt_node_release(n);
}

static void fetch_free(struct fetch *f)
{
    while (f->needs) {
        struct lt_node_need *need = f->needs;

        f->needs = need->next;
        lt_free(need);
    }
    lt_blob_writer_close(f->w);
    lt_free(f->data);
    lt_free(f);
}

static struct fetch *find(const struct lt_node_blobs *b, const char *hash)
{
    struct fetch *f = b->fetches;

    while (f && strcmp(f->hash, hash) != 0)
        f = f->next;
    return f;
}

static void take_out(struct fetch *f)
{
    struct fetch **p = &f->owner->fetches;

    while (*p != f)
        p = &(*p)->next;
    *p = f->next;
}

/* The first blob that isn't here; NULL: all are. */
static const char *missing(const struct lt_node_blobs *b, const struct lt_node_need *need)
{
    uint64_t size;

    for (size_t i = 0; i < need->n; i++)
        if (lt_blob_stat(b->dir, need->hashes[i], &size, NULL) < 0)
            return need->hashes[i];
    return NULL;
}

static void ask(struct fetch *f)
{
    Lt__V1__BlobRequest q = LT__V1__BLOB_REQUEST__INIT;
    struct lt_node *n = f->owner->node;

    if (!n->welcomed)
        return;
    q.hash = f->hash;
    q.has_offset = q.has_max_bytes = true;
    q.offset = lt_blob_writer_size(f->w);
    q.max_bytes = CHUNK;
    f->asked = true;
    lt_node_send(n, LT__V1__AGENT_MESSAGE__MESSAGE_BLOB_REQUEST, &q);
}

static int join(struct lt_node_blobs *b, const char *hash, struct lt_node_need *need,
                struct lt_error *err)
{
    struct fetch *f = find(b, hash);
    int rc;

    if (!f) {
        f = lt_calloc(1, sizeof *f);
        rc = lt_blob_writer_open(b->dir, UINT64_MAX, &f->w, err);
        if (rc < 0) {
            lt_free(f);
            return rc;
        }
        f->owner = b;
        strcpy(f->hash, hash);
        f->next = b->fetches;
        b->fetches = f;
        ask(f);
    }
    need->next = f->needs;
    f->needs = need;
    return 0;
}

/* The next blob, or the end of waiting. */
static void go_on(struct lt_node_blobs *b, struct lt_node_need *need, int rc, struct lt_error *err)
{
    const char *hash = rc == 0 && need->fn ? missing(b, need) : NULL;

    if (hash)
        rc = join(b, hash, need, err);
    if (hash && rc == 0)
        return;
    if (need->fn)
        need->fn(need->arg, rc, err->text);
    lt_free(need);
}

static void end(struct fetch *f, int rc, const char *reason)
{
    struct lt_node_need *need = f->needs, *next;
    struct lt_error err = {0};

    if (rc < 0)
        lt_warning("agent: blob %s: %s", f->hash, reason);
    take_out(f);
    f->needs = NULL;
    for (; need; need = next) {
        next = need->next;
        if (rc < 0)
            lt_error_set(&err, rc, "sha256:%s can't be fetched from the coordinator: %s", f->hash,
                         reason);
        go_on(f->owner, need, rc, &err);
    }
    fetch_free(f);
}

/* ---- a chunk */

static void write_chunk(uv_work_t *work)
{
    struct fetch *f = work->data;
    struct lt_blob_writer *w = f->w;
    char hash[65];
    uint64_t size;

    f->rc = lt_blob_writer_add(w, f->data, f->n, &f->err);
    f->whole = f->rc == 0 && lt_blob_writer_size(w) >= f->size;
    if (!f->whole)
        return;
    f->w = NULL;
    f->rc = lt_blob_writer_finish(w, f->hash, hash, &size, &f->err);
}

static void written(uv_work_t *work, int status)
{
    struct fetch *f = work->data;
    struct lt_node_blobs *b = f->owner;

    (void)status;
    f->working = false;
    b->working--;
    lt_free(f->data);
    f->data = NULL;
    if (b->closed)
        fetch_free(f);
    else if (f->rc < 0 || f->whole)
        end(f, f->rc, f->err.text);
    else
        ask(f);
    release(b);
}

void lt_node_blob_chunk(struct lt_node_blobs *b, const Lt__V1__BlobChunk *m)
{
    struct fetch *f = m->hash ? find(b, m->hash) : NULL;

    if (!f || !f->asked || f->working || m->offset != lt_blob_writer_size(f->w))
        return; /* an answer to an earlier session's question */
    f->asked = false;
    if (m->error || (m->data.len == 0 && m->size > m->offset)) {
        end(f, -EIO, m->error ? m->error : "the coordinator's copy is shorter than it says");
        return;
    }
    f->n = m->data.len;
    f->size = m->size;
    f->data = lt_malloc(f->n + 1);
    memcpy(f->data, m->data.data, f->n);
    f->work.data = f;
    f->working = true;
    b->working++;
    uv_queue_work(b->node->loop, &f->work, write_chunk, written);
}

/* ---- the session */

void lt_node_blobs_welcomed(struct lt_node_blobs *b)
{
    for (struct fetch *f = b->fetches; f; f = f->next) {
        f->asked = false;
        if (!f->working)
            ask(f);
    }
}

struct listing {
    char **hashes;
    size_t n, cap;
};

static bool add(void *arg, const char *hash, int64_t age_s)
{
    struct listing *l = arg;

    (void)age_s;
    LT_GROW(l->hashes, l->n, l->cap);
    l->hashes[l->n++] = lt_strdup(hash);
    return true;
}

char **lt_node_blobs_list(const struct lt_node_blobs *b, size_t *n)
{
    struct listing l = {0};

    lt_blobs_sweep(b->dir, add, &l, NULL);
    *n = l.n;
    return l.hashes;
}

static bool isnt_dropped(void *arg, const char *hash, int64_t age_s)
{
    const Lt__V1__DropBlobs *m = arg;

    (void)age_s;
    for (size_t i = 0; i < m->n_hashes; i++)
        if (strcmp(m->hashes[i], hash) == 0)
            return false;
    return true;
}

void lt_node_blobs_drop(struct lt_node_blobs *b, const Lt__V1__DropBlobs *m)
{
    struct lt_error err = {0};

    if (lt_blobs_sweep(b->dir, isnt_dropped, (void *)m, &err) < 0)
        lt_warning("agent: %s", err.text);
}

/* ---- waiting */

static void collect(struct lt_node_need *need, const Lt__V1__JobSpec *spec)
{
    char **file;

    for (size_t i = 0; need->n < FILES_MAX && (file = lt_plan_file(spec, i, NULL)); i++) {
        const char *hash = lt_file_hash(*file);

        if (hash)
            strcpy(need->hashes[need->n++], hash);
    }
}

int lt_node_need(struct lt_node_blobs *b, const Lt__V1__JobSpec *spec, lt_node_need_fn *fn,
                 void *arg, struct lt_node_need **out, struct lt_error *err)
{
    struct lt_node_need *need = lt_calloc(1, sizeof *need);
    const char *hash;
    int rc;

    *out = NULL;
    need->fn = fn;
    need->arg = arg;
    collect(need, spec);
    hash = missing(b, need);
    rc = hash ? join(b, hash, need, err) : 0;
    if (hash && rc == 0)
        *out = need;
    else
        lt_free(need);
    return rc;
}

void lt_node_need_cancel(struct lt_node_need *need)
{
    if (need)
        need->fn = NULL; /* the fetch goes on: the next one finds it */
}

/* ---- life */

int lt_node_blobs_open(struct lt_node *n, struct lt_node_blobs **out, struct lt_error *err)
{
    struct lt_node_blobs *b;
    int rc = lt_blobs_open(n->state_dir, err);

    if (rc < 0)
        return rc;
    b = lt_calloc(1, sizeof *b);
    b->node = n;
    b->dir = lt_strdup(n->state_dir);
    lt_node_hold(n);
    *out = b;
    return 0;
}

void lt_node_blobs_close(struct lt_node_blobs *b)
{
    struct fetch *f, *next;

    if (!b)
        return;
    b->closed = true;
    for (f = b->fetches; f; f = next) {
        next = f->next;
        for (struct lt_node_need *need = f->needs; need; need = need->next)
            need->fn = NULL;
        if (!f->working)
            fetch_free(f);
    }
    b->fetches = NULL;
    release(b);
}
