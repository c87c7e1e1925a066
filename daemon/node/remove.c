/* remove.c - a run folder and all that is in it
 *
 * Only one that ltd made: named after the job, a folder and no link, and holding the plan that is
 * written there first (or nothing). It gets another name before anything in it is removed, so that
 * what was begun and cut short is still known for what it is, and is gone on with. Links in it are
 * removed, never followed.
 */
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "daemon/node/internal.h"
#include "sys/file.h"
#include "sys/log.h"
#include "sys/paths.h"

struct removal {
    uv_work_t work;
    struct lt_node *node;
    unsigned session;
    uint64_t id;
    char *job, *run_dir;
    struct lt_error err;
};

static bool is_empty(const char *path)
{
    DIR *d = opendir(path);
    const struct dirent *e;
    bool empty = d != NULL;

    while (d && (e = readdir(d)))
        empty = empty && (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0);
    if (d)
        closedir(d);
    return empty;
}

/* -ENOENT: nothing is there. */
static int check_ours(const char *path, struct lt_error *err)
{
    LT_AUTO(lt_free) char *plan = lt_path_join(path, "plan.pb");
    struct stat st;

    if (lstat(path, &st) < 0)
        return errno == ENOENT ? -ENOENT
                               : lt_error_set(err, -errno, "%s: %s", path, strerror(errno));
    if (!S_ISDIR(st.st_mode))
        return lt_error_set(err, -EPERM, "%s isn't a folder, so it isn't removed", path);
    if (!is_empty(path) && (lstat(plan, &st) < 0 || !S_ISREG(st.st_mode)))
        return lt_error_set(err, -EPERM, "%s has no plan.pb: ltd didn't make it, so it isn't removed",
                            path);
    return 0;
}

static int remove_run(const char *job, const char *run_dir, struct lt_error *err)
{
    const char *name = strrchr(run_dir, '/');
    LT_AUTO(lt_free) char *parent = NULL;
    LT_AUTO(lt_free) char *going = NULL;
    int rc;

    if (run_dir[0] != '/' || strcmp(name + 1, job) != 0 || !job[0] || job[0] == '.')
        return lt_error_set(err, -EPERM, "%s isn't a folder for job %s, so it isn't removed",
                            run_dir, job);
    parent = lt_path_dirname(run_dir);
    going = lt_format("%s/.%s.removing", parent, job);
    rc = check_ours(run_dir, err);
    if (rc == 0)
        rc = lt_file_remove_tree(going, err); /* of an id that came again */
    if (rc == 0)
        rc = lt_file_rename(run_dir, going, err);
    return rc < 0 && rc != -ENOENT ? rc : lt_file_remove_tree(going, err);
}

static void work(uv_work_t *w)
{
    struct removal *q = w->data;

    remove_run(q->job, q->run_dir, &q->err);
}

static void answer(struct lt_node *n, uint64_t id, const struct lt_error *err)
{
    Lt__V1__RunRemoved m = LT__V1__RUN_REMOVED__INIT;

    m.has_id = m.has_error = true;
    m.id = id;
    m.error = (uint32_t)-err->code;
    m.reason = err->code ? (char *)err->text : NULL;
    lt_node_send(n, LT__V1__AGENT_MESSAGE__MESSAGE_RUN_REMOVED, &m);
}

static void after(uv_work_t *w, int status)
{
    struct removal *q = w->data;
    struct lt_node *n = q->node;

    (void)status;
    if (!n->closing && q->session == n->sessions)
        answer(n, q->id, &q->err);
    lt_free(q->job);
    lt_free(q->run_dir);
    lt_free(q);
    lt_node_release(n);
}

static bool still_here(struct lt_node *n, const char *job)
{
    void *p;

    for (size_t i = 0; lt_map_next(n->ranks, &i, NULL, &p);)
        if (strcmp(((struct lt_rank *)p)->spec->job, job) == 0)
            return true;
    return false;
}

void lt_node_remove_run(struct lt_node *n, const Lt__V1__RemoveRun *m)
{
    struct removal *q;

    if (!m->job || !m->run_dir || still_here(n, m->job)) {
        struct lt_error err = {0};

        lt_error_set(&err, -EBUSY, "the node isn't done with job %s yet", m->job ? m->job : "?");
        answer(n, m->id, &err);
        return;
    }
    q = lt_calloc(1, sizeof *q);
    q->node = n;
    q->session = n->sessions;
    q->id = m->id;
    q->job = lt_strdup(m->job);
    q->run_dir = lt_strdup(m->run_dir);
    q->work.data = q;
    lt_node_hold(n);
    uv_queue_work(n->loop, &q->work, work, after);
}
