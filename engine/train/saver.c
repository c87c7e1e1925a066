/* saver.c - the checkpoint thread */
#include "engine/train/saver.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

#include "base/mem.h"
#include "sys/file.h"

#define STACK (256u << 10)

struct lt_saver {
    struct lt_saver_config c;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool stop, working;
    struct lt_save_job *todo;
    char **removals;
    int n_removals, cap_removals;
    struct lt_save_job *done;
    _Atomic bool busy,
        ready; /* ready: `done` is there; polled at every boundary without the lock */
};

void lt_save_job_free(struct lt_save_job *job)
{
    if (!job)
        return;
    for (int i = 0; i < job->n; i++) {
        lt_free(job->targets[i].dir);
        lt_free(job->targets[i].name);
        lt_free(job->targets[i].last);
        lt_save_done(&job->targets[i].save);
    }
    lt_free(job->trainer_json);
    lt_free(job);
}

static int set_last(const struct lt_saver *s, const char *last, struct lt_error *err)
{
    LT_AUTO(lt_free) char *path = lt_format("%s/last", s->c.run_dir);
    LT_AUTO(lt_free) char *text = lt_format("%s\n", last);

    return lt_file_replace(path, text, strlen(text), 0644, err);
}

static void write_target(const struct lt_saver *s, const struct lt_checkpoint_content *content,
                         struct lt_target *t)
{
    t->rc = s->c.sync ? s->c.sync(s->c.arg, &t->err) : 0;
    if (t->rc == 0)
        t->rc = lt_checkpoint_write(content, &t->meta, t->dir, t->name, &t->err);
    if (t->rc == 0 && t->last)
        t->rc = set_last(s, t->last, &t->err);
}

static void run_job(struct lt_saver *s, struct lt_save_job *job)
{
    job->content.trainer_json = job->trainer_json;
    for (int i = 0; i < job->n; i++)
        write_target(s, &job->content, &job->targets[i]);
    pthread_mutex_lock(&s->lock);
    s->done = job;
    atomic_store(&s->ready, true);
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

/* With the lock held; lets go of it while it works. */
static void run_one(struct lt_saver *s)
{
    struct lt_save_job *job = NULL;
    char *path = NULL;

    if (s->n_removals) { /* first: a new checkpoint may bear a name that is still to go */
        path = s->removals[0];
        memmove(s->removals, s->removals + 1, (size_t)--s->n_removals * sizeof *s->removals);
    } else {
        job = s->todo;
        s->todo = NULL;
    }
    s->working = true;
    pthread_mutex_unlock(&s->lock);
    if (job) {
        run_job(s, job);
    } else {
        lt_file_remove_tree(path, NULL); /* one that stays is only in the way of the disk */
        lt_free(path);
    }
    pthread_mutex_lock(&s->lock);
    s->working = false;
    pthread_cond_broadcast(&s->changed);
}

static void *work(void *arg)
{
    struct lt_saver *s = arg;

    pthread_mutex_lock(&s->lock);
    while (!s->stop || s->todo || s->n_removals) {
        if (s->todo || s->n_removals)
            run_one(s);
        else
            pthread_cond_wait(&s->changed, &s->lock);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

int lt_saver_open(const struct lt_saver_config *c, struct lt_saver **out, struct lt_error *err)
{
    struct lt_saver *s = lt_calloc(1, sizeof *s);
    pthread_attr_t attr;
    sigset_t all, old;
    int rc;

    s->c = *c;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->changed, NULL);
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    rc = pthread_create(&s->thread, &attr, work, s);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    if (rc) {
        lt_free(s);
        return lt_error_set(err, -rc, "no thread for checkpoints: %s", strerror(rc));
    }
    *out = s;
    return 0;
}

void lt_saver_close(struct lt_saver *s)
{
    if (!s)
        return;
    pthread_mutex_lock(&s->lock);
    s->stop = true;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->thread, NULL);
    lt_save_job_free(s->done);
    lt_free(s->removals);
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
    lt_free(s);
}

bool lt_saver_busy(const struct lt_saver *s)
{
    return atomic_load(&s->busy);
}

void lt_saver_submit(struct lt_saver *s, struct lt_save_job *job)
{
    pthread_mutex_lock(&s->lock);
    atomic_store(&s->busy, true);
    s->todo = job;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

static struct lt_save_job *take_done(struct lt_saver *s)
{
    struct lt_save_job *job = s->done;

    s->done = NULL;
    atomic_store(&s->ready, false);
    atomic_store(&s->busy, false);
    return job;
}

struct lt_save_job *lt_saver_poll(struct lt_saver *s)
{
    struct lt_save_job *job;

    if (!atomic_load_explicit(&s->ready, memory_order_relaxed))
        return NULL;
    pthread_mutex_lock(&s->lock);
    job = take_done(s);
    pthread_mutex_unlock(&s->lock);
    return job;
}

struct lt_save_job *lt_saver_wait(struct lt_saver *s)
{
    struct lt_save_job *job;

    if (!lt_saver_busy(s))
        return NULL;
    pthread_mutex_lock(&s->lock);
    while (!s->done)
        pthread_cond_wait(&s->changed, &s->lock);
    job = take_done(s);
    pthread_mutex_unlock(&s->lock);
    return job;
}

void lt_saver_drain(struct lt_saver *s)
{
    pthread_mutex_lock(&s->lock);
    while (s->todo || s->n_removals || s->working)
        pthread_cond_wait(&s->changed, &s->lock);
    pthread_mutex_unlock(&s->lock);
}

void lt_saver_remove(struct lt_saver *s, char *path)
{
    pthread_mutex_lock(&s->lock);
    LT_GROW(s->removals, s->n_removals, s->cap_removals);
    s->removals[s->n_removals++] = path;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}
