/* check_log.c - does a coordinator's log replay to one state? check_log STATE_DIR/coord …
 *
 * Replays the whole log; then half of it, a snapshot, and the rest from there; then the stored snapshot, if there
 * is one, and what follows it. All three folds must be equal, byte by byte. For logs that other tests left behind.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "daemon/core/core.h"
#include "daemon/store/store.h"

struct replay {
    struct lt_core *core;
    struct lt_error err;
};

static int apply(void *arg, const struct lt_store_event *e)
{
    struct replay *r = arg;

    return lt_core_replay(r->core, e->data, e->len, &r->err);
}

/* From `from` on, at most n events (0: all). */
static int replay(struct lt_store *s, struct replay *r, uint64_t from, size_t n)
{
    struct lt_error err = {0};
    int rc = lt_store_read(s, from, NULL, n, apply, r, &err);

    if (rc < 0)
        fprintf(stderr, "%s\n", err.text[0] ? err.text : r->err.text);
    return rc;
}

static int from_snapshot(struct lt_store *s, struct replay *r, const void *data, size_t len, uint64_t seq)
{
    r->core = lt_core_new();
    if (lt_core_restore(r->core, data, len, &r->err) < 0) {
        fprintf(stderr, "snapshot of event %llu: %s\n", (unsigned long long)seq, r->err.text);
        return -1;
    }
    return replay(s, r, seq, 0);
}

static int compare(struct replay *a, struct replay *b, const char *what)
{
    uint8_t *x, *y;
    size_t nx, ny;
    int rc;

    lt_core_snapshot(a->core, &x, &nx);
    lt_core_snapshot(b->core, &y, &ny);
    rc = nx == ny && memcmp(x, y, nx) == 0 ? 0 : -1;
    if (rc < 0)
        fprintf(stderr, "%s gives another state than the whole log (%zu and %zu bytes)\n", what, ny, nx);
    lt_free(x);
    lt_free(y);
    return rc;
}

static int check_halves(struct lt_store *s, struct replay *all)
{
    struct replay half = {.core = lt_core_new()}, rest = {0};
    uint64_t middle = lt_store_last_seq(s) / 2;
    uint8_t *data = NULL;
    size_t len;
    int rc = middle ? replay(s, &half, 0, middle) : 0;

    if (rc == 0) {
        lt_core_snapshot(half.core, &data, &len);
        rc = from_snapshot(s, &rest, data, len, middle);
    }
    if (rc == 0)
        rc = compare(all, &rest, "a snapshot in its middle");
    lt_core_free(half.core);
    lt_core_free(rest.core);
    lt_free(data);
    return rc;
}

static int check_stored(struct lt_store *s, struct replay *all)
{
    struct replay rest = {0};
    LT_BUF_AUTO data = {0};
    uint64_t seq;
    int rc = 0;

    if (lt_store_snapshot_load(s, &seq, &data, NULL) == 0)
        rc = from_snapshot(s, &rest, data.data, data.len, seq);
    if (rc == 0 && rest.core)
        rc = compare(all, &rest, "the stored snapshot");
    lt_core_free(rest.core);
    return rc;
}

static int check_log(const char *dir)
{
    struct replay all = {.core = lt_core_new()};
    struct lt_error err = {0};
    struct lt_store *s = NULL;
    int rc = lt_store_open(dir, NULL, &s, &err);

    if (rc < 0)
        fprintf(stderr, "%s\n", err.text);
    if (rc == 0)
        rc = replay(s, &all, 0, 0);
    if (rc == 0)
        rc = check_halves(s, &all);
    if (rc == 0)
        rc = check_stored(s, &all);
    if (rc == 0)
        printf("%s: %llu events\n", dir, (unsigned long long)lt_store_last_seq(s));
    lt_core_free(all.core);
    lt_store_close(s);
    return rc;
}

int main(int argc, char **argv)
{
    int failed = argc < 2;

    for (int i = 1; i < argc; i++)
        failed |= check_log(argv[i]) < 0;
    return failed;
}
