/* blobs.c - files that travel with plans: their way in, to the nodes, and out again
 *
 * A blob is kept while a job of the fold refers to it, and for a while from the last time that
 * somebody put it or asked for it: between an upload (or the answer that none is needed) and the
 * job there is only the client's word. Nodes fetch what they need, chunk by chunk, each chunk asked
 * for: nothing queues. They are told what nobody needs any more, when it goes and at their hello.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include "base/map.h"
#include "base/mem.h"
#include "daemon/coord/internal.h"
#include "daemon/core/query.h"
#include "daemon/store/blobs.h"
#include "proto/plan.h"
#include "sys/file.h"
#include "sys/log.h"

#define KEEP_S 3600            /* since it was last put or asked for */
#define SWEEP_MS (600u * 1000) /* for those that nothing ever referred to */
#define SOON_MS 500            /* many jobs may go at once */
#define CHUNK_MAX (512u << 10)

/* ---- in */

struct putting {
    uv_work_t work;
    struct lt_coord *c;
    struct lt_blob_writer *w;
    char expected[65], hash[65];
    uint32_t uid;
    uint64_t size;
    struct lt_error err;
    int rc;
    lt_coord_blob_fn *fn;
    void *arg;
};

static void put_work(uv_work_t *work)
{
    struct putting *p = work->data;
    const char *dir = p->c->blobs_dir;

    p->rc = lt_blob_writer_finish(p->w, p->expected[0] ? p->expected : NULL, p->hash, &p->size,
                                  &p->err);
    if (p->rc == 0)
        p->rc = lt_blob_own(dir, p->hash, p->uid, &p->err);
    if (p->rc == 0)
        lt_blob_touch(dir, p->hash);
}

static void put_done(uv_work_t *work, int status)
{
    struct putting *p = work->data;

    (void)status;
    p->fn(p->arg, p->rc, p->hash, p->size, p->err.text);
    lt_coord_release(p->c);
    lt_free(p);
}

void lt_coord_blob_finish(struct lt_coord *c, struct lt_blob_writer *w, const char *expected,
                          uint32_t uid, lt_coord_blob_fn *fn, void *arg)
{
    struct putting *p = lt_calloc(1, sizeof *p);

    p->c = c;
    p->w = w;
    p->uid = uid;
    p->fn = fn;
    p->arg = arg;
    strcpy(p->expected, expected);
    p->work.data = p;
    c->handles++;
    uv_queue_work(c->uv, &p->work, put_work, put_done);
}

/* ---- to the nodes */

static void send_chunk(struct lt_coord *c, uint64_t session, Lt__V1__BlobChunk *chunk)
{
    Lt__V1__CoordinatorMessage m = LT__V1__COORDINATOR_MESSAGE__INIT;

    m.message_case = LT__V1__COORDINATOR_MESSAGE__MESSAGE_BLOB_CHUNK;
    m.blob_chunk = chunk;
    lt_coord_send(c, session, &m);
}

static int read_chunk(const struct lt_coord *c, const Lt__V1__BlobRequest *q,
                      Lt__V1__BlobChunk *out, struct lt_error *err)
{
    LT_AUTO(lt_free) char *path = NULL;
    uint32_t max = LT_MIN(q->max_bytes, CHUNK_MAX);
    ssize_t n;
    int rc = lt_blob_stat(c->blobs_dir, out->hash, &out->size, err), fd;

    if (rc < 0)
        return rc;
    path = lt_blob_path(c->blobs_dir, out->hash);
    fd = lt_file_open(path, O_RDONLY, 0, err);
    if (fd < 0)
        return fd;
    out->data.data = lt_malloc(max + 1);
    n = pread(fd, out->data.data, max, (off_t)q->offset);
    if (n < 0)
        rc = lt_error_set(err, -errno, "read %s: %s", path, strerror(errno));
    close(fd);
    out->data.len = n > 0 ? (size_t)n : 0;
    return rc;
}

void lt_coord_blob_asked(struct lt_coord *c, uint64_t session, const Lt__V1__BlobRequest *q)
{
    Lt__V1__BlobChunk chunk = LT__V1__BLOB_CHUNK__INIT;
    struct lt_error err = {0};

    chunk.hash = q->hash ? q->hash : (char *)"";
    chunk.has_offset = chunk.has_size = chunk.has_data = true;
    chunk.offset = q->offset;
    if (read_chunk(c, q, &chunk, &err) < 0)
        chunk.error = err.text;
    send_chunk(c, session, &chunk);
    lt_free(chunk.data.data);
}

static void tell_dropped(struct lt_coord *c, uint64_t session, char **hashes, size_t n)
{
    Lt__V1__CoordinatorMessage m = LT__V1__COORDINATOR_MESSAGE__INIT;
    Lt__V1__DropBlobs drop = LT__V1__DROP_BLOBS__INIT;

    drop.hashes = hashes;
    drop.n_hashes = n;
    m.message_case = LT__V1__COORDINATOR_MESSAGE__MESSAGE_DROP_BLOBS;
    m.drop_blobs = &drop;
    lt_coord_send(c, session, &m);
}

void lt_coord_blobs_hello(struct lt_coord *c, uint64_t session, const Lt__V1__Hello *hello)
{
    char **gone = lt_calloc(hello->n_blobs + 1, sizeof *gone);
    uint64_t size;
    size_t n = 0;

    for (size_t i = 0; i < hello->n_blobs; i++)
        if (lt_blob_stat(c->blobs_dir, hello->blobs[i], &size, NULL) < 0)
            gone[n++] = hello->blobs[i];
    if (n > 0)
        tell_dropped(c, session, gone, n);
    lt_free(gone);
}

/* ---- out */

struct leaving {
    struct lt_map *used; /* hash → itself */
    char **gone;
    size_t n, cap;
};

static struct lt_map *used_by_jobs(const struct lt_core *core)
{
    struct lt_map *used = lt_map_new(NULL);
    const Lt__V1__JobFold *fold;
    char **file;

    for (size_t i = 0; (fold = lt_core_next(core, &i));) {
        for (size_t k = 0; fold->spec && (file = lt_plan_file(fold->spec, k, NULL)); k++) {
            const char *hash = lt_file_hash(*file);

            if (hash)
                lt_map_set(used, hash, used);
        }
    }
    return used;
}

static bool keep(void *arg, const char *hash, int64_t age_s)
{
    struct leaving *s = arg;

    if (age_s < KEEP_S || lt_map_get(s->used, hash))
        return true;
    LT_GROW(s->gone, s->n, s->cap);
    s->gone[s->n++] = lt_strdup(hash);
    return false;
}

/* Removes what nobody needs; tells the nodes. */
static void sweep(struct lt_coord *c)
{
    struct leaving s = {0};
    struct lt_error err = {0};

    if (!c->core || c->broken.code)
        return;
    s.used = used_by_jobs(c->core);
    if (lt_blobs_sweep(c->blobs_dir, keep, &s, &err) < 0)
        lt_warning("blobs that nobody needs: %s", err.text);
    for (const struct lt_coord_agent *a = c->agents, *next; a && s.n; a = next) {
        next = a->next;
        tell_dropped(c, a->session, s.gone, s.n);
    }
    if (s.n)
        lt_info("%zu blob%s that no job refers to removed", s.n, s.n == 1 ? "" : "s");
    for (size_t i = 0; i < s.n; i++)
        lt_free(s.gone[i]);
    lt_free(s.gone);
    lt_map_free(s.used);
}

static void on_sweep(uv_timer_t *t)
{
    struct lt_coord *c = t->data;

    c->sweeping = false;
    sweep(c);
}

void lt_coord_blobs_sweep_soon(struct lt_coord *c)
{
    if (!c->sweeping)
        uv_timer_start(&c->sweep, on_sweep, SOON_MS, SWEEP_MS);
    c->sweeping = true;
}

void lt_coord_blobs_start(struct lt_coord *c)
{
    uv_timer_start(&c->sweep, on_sweep, SWEEP_MS, SWEEP_MS);
    sweep(c);
}
