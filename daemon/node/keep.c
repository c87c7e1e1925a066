/* keep.c - an ended rank's journal goes into its run folder: <run>/journal/ATTEMPT.RANK
 *
 * The attempt's folder is removed when the coordinator has everything; what the metrics database is
 * filled again from must last as long as the run's other files. A link where both are on one disk,
 * else a copy. RankGone waits for it, so that whoever knows that a rank is gone finds its journal
 * there; a run folder that can't take it (full, read-only, removed) costs no more than that.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "daemon/node/internal.h"
#include "sys/attempt.h"
#include "sys/file.h"
#include "sys/log.h"
#include "sys/paths.h"

#define JOURNAL_MAX (1u << 30)

static int copy(const char *from, const char *to, struct lt_error *err)
{
    LT_BUF_AUTO bytes = {0};
    int rc = lt_file_read(from, JOURNAL_MAX, &bytes, err);

    return rc < 0 ? rc : lt_file_put(to, bytes.data ? bytes.data : "", bytes.len, 0666, err);
}

static int keep(const struct lt_rank *r, struct lt_error *err)
{
    LT_AUTO(lt_free) char *from = lt_attempt_path(r->dir, "journal");
    LT_AUTO(lt_free) char *dir = lt_path_join(r->spec->run_dir, "journal");
    LT_AUTO(lt_free) char *to = lt_format("%s/%u.%u", dir, r->spec->attempt, r->spec->rank);
    int rc;

    if (!lt_file_exists(from) || !lt_file_exists(r->spec->run_dir))
        return 0;
    rc = lt_file_make_dirs(dir, 0777, err);
    if (rc == 0)
        rc = lt_file_unlink(to, err); /* an earlier agent's, perhaps cut short */
    if (rc == 0 && link(from, to) < 0)
        rc = copy(from, to, err);
    return rc;
}

static void work(uv_work_t *w)
{
    const struct lt_rank *r = w->data;
    struct lt_error err = {0};

    if (keep(r, &err) < 0)
        lt_warning("agent: the journal of %s isn't kept: %s", r->name, err.text);
}

static void after(uv_work_t *w, int status)
{
    struct lt_rank *r = w->data;

    (void)status;
    r->keeping = false;
    r->kept = true;
    if (r->dropped) /* we are closing; the next agent does it again */
        ;
    else if (r->forgotten)
        lt_rank_remove(r);
    else
        lt_rank_tail(r);
    lt_rank_release(r);
}

bool lt_rank_keep_journal(struct lt_rank *r)
{
    if (r->kept || r->keeping)
        return r->kept;
    r->keeping = true;
    r->keep.data = lt_rank_hold(r);
    uv_queue_work(r->node->loop, &r->keep, work, after);
    return false;
}

void lt_rank_forget(struct lt_rank *r)
{
    r->forgotten = true;
    if (lt_rank_keep_journal(r))
        lt_rank_remove(r);
}
