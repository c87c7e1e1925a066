/* loader.c - a ring of batches between a reading thread and training
 *
 * Slots go round: `made` counts the batches the thread has filled, `used` those the consumer has
 * given back; both only grow, slot = count % slots. Nobody takes a lock while the other is ahead. A
 * side that must wait spins briefly (a step is about as short as a wake-up is slow), then sleeps on
 * a condition. The thread is woken only when half the ring is free: one system call every few
 * batches instead of one for each.
 */
#include "engine/data/loader.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "base/mem.h"
#include "engine/data/order.h"

#define SLOTS_MIN 4
#define SLOTS_MAX 32
#define RING_BYTES (1u << 20) /* aimed at, so that it stays in a cache; SLOTS_MIN may take more */
#define SPIN 2000
#define STACK (256u << 10)
#define LINE 64

struct slot {
    struct lt_batch batch;
    void **field;
    float *weight;
    int64_t *sample;
};

struct lt_loader {
    struct lt_loader_config c;
    struct lt_order order;
    uint64_t batches;
    bool shuffle;
    int spin;
    /* memory */
    char *region;
    size_t region_bytes;
    struct slot slot[SLOTS_MAX];
    uint64_t slots;
    uint32_t *perm, *index;
    /* hand-over */
    _Alignas(LINE) _Atomic uint64_t made;
    _Alignas(LINE) _Atomic uint64_t used;
    _Alignas(LINE) _Atomic bool stop, producer_sleeps, consumer_sleeps;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    pthread_t thread;
    bool running, holding;
    uint64_t epoch, at; /* where the thread is: its own while it runs */
};

static size_t align_up(size_t n)
{
    return (n + LINE - 1) / LINE * LINE;
}

static int slices_of(const struct lt_loader_config *c)
{
    return LT_MAX(c->slices, 1);
}

/* Of this rank's first slice; the others follow it. */
static struct lt_order order_of(const struct lt_loader_config *c)
{
    return (struct lt_order){(uint64_t)lt_data_count(c->data, c->split),
                             (uint64_t)(c->batch_size / slices_of(c)),
                             (uint32_t)(c->rank * slices_of(c)),
                             (uint32_t)(LT_MAX(c->world, 1) * slices_of(c)), c->drop_last};
}

/* Samples that a slot must hold: the first batch is the largest. */
static size_t slot_samples(const struct lt_loader_config *c)
{
    struct lt_order o = order_of(c);

    return (size_t)(lt_order_size(&o, 0) * (uint64_t)slices_of(c));
}

static size_t slot_bytes(const struct lt_loader_config *c)
{
    size_t n = slot_samples(c),
           bytes = LINE + align_up(n * sizeof(float)) + align_up(n * sizeof(int64_t));

    for (int f = 0; f < lt_data_n_fields(c->data); f++)
        bytes += align_up(n * lt_data_field(c->data, f)->bytes);
    return bytes;
}

static uint64_t slots_for(const struct lt_loader_config *c)
{
    return LT_MAX((uint64_t)SLOTS_MIN, LT_MIN((uint64_t)SLOTS_MAX, RING_BYTES / slot_bytes(c)));
}

static size_t perm_bytes(const struct lt_loader_config *c)
{
    return align_up((size_t)lt_data_count(c->data, c->split) * sizeof(uint32_t));
}

static size_t index_bytes(const struct lt_loader_config *c)
{
    return align_up(slot_samples(c) * sizeof(uint32_t));
}

static uint64_t batches_of(const struct lt_loader_config *c)
{
    struct lt_order o = order_of(c);
    uint64_t n = lt_order_batches(&o);

    return c->limit >= 0 ? LT_MIN(n, (uint64_t)c->limit) : n;
}

void lt_loader_shape(const struct lt_loader_config *c, struct lt_loader_shape *out)
{
    struct lt_order o = order_of(c);

    *out = (struct lt_loader_shape){.batches = batches_of(c)};
    if (!out->batches)
        return;
    out->first = (int64_t)lt_order_size(&o, 0) * slices_of(c);
    out->last = (int64_t)lt_order_size(&o, out->batches - 1) * slices_of(c);
    out->bytes = perm_bytes(c) + index_bytes(c) + slots_for(c) * slot_bytes(c);
}

/* Everything in one mapping, touched here: perm, index, slots. */
static int allocate(struct lt_loader *l, struct lt_error *err)
{
    size_t perm = perm_bytes(&l->c), index = index_bytes(&l->c);
    size_t samples = slot_samples(&l->c);
    int n_fields = lt_data_n_fields(l->c.data);
    char *p;

    l->slots = slots_for(&l->c);
    l->region_bytes = perm + index + l->slots * slot_bytes(&l->c) + LINE;
    p = mmap(NULL, l->region_bytes, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (p == MAP_FAILED)
        return lt_error_set(err, -ENOMEM, "no memory for %zu bytes of batches read ahead",
                            l->region_bytes);
    l->region = p;
    l->perm = (uint32_t *)(void *)p;
    l->index = (uint32_t *)(void *)(p + perm);
    p += perm + index;
    for (uint64_t i = 0; i < l->slots; i++) {
        struct slot *s = &l->slot[i];

        s->field = lt_calloc((size_t)n_fields, sizeof *s->field);
        s->weight = (float *)(void *)p;
        p += align_up(samples * sizeof(float));
        s->sample = (int64_t *)(void *)p;
        p += align_up(samples * sizeof(int64_t));
        for (int f = 0; f < n_fields; f++) {
            s->field[f] = p;
            p += align_up(samples * lt_data_field(l->c.data, f)->bytes);
        }
        s->batch =
            (struct lt_batch){.field = s->field, .weight = s->weight, .sample_index = s->sample};
    }
    return 0;
}

static bool plan_shuffles(const struct lt_loader_config *c, const Lt__V1__Data *plan)
{
    const Lt__V1__Split *const splits[LT_SPLIT_N] = {plan->train, plan->val, plan->test,
                                                     plan->predict};

    return !c->sequential && splits[c->split] && splits[c->split]->shuffle;
}

int lt_loader_open(const struct lt_loader_config *c, struct lt_loader **out, struct lt_error *err)
{
    struct lt_loader *l;
    int64_t samples = lt_data_count(c->data, c->split);
    int rc;

    if (samples > UINT32_MAX)
        return lt_error_set(err, -EFBIG, "split `%s` has more than 2^32 samples",
                            lt_split_names[c->split]);
    l = aligned_alloc(LINE, align_up(sizeof *l));
    if (!l)
        return lt_error_set(err, -ENOMEM, "out of memory");
    memset(l, 0, sizeof *l);
    l->c = *c;
    l->shuffle = plan_shuffles(c, lt_data_plan(c->data));
    l->spin = sysconf(_SC_NPROCESSORS_ONLN) > 1 ? SPIN : 0;
    l->order = order_of(c);
    l->batches = batches_of(c);
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->wake, NULL);
    rc = allocate(l, err);
    if (rc < 0)
        lt_loader_close(l);
    else
        *out = l;
    return rc;
}

uint64_t lt_loader_batches(const struct lt_loader *l)
{
    return l->batches;
}

int64_t lt_loader_batch_size(const struct lt_loader *l, uint64_t index)
{
    return (int64_t)lt_order_size(&l->order, index) * slices_of(&l->c);
}

static void new_order(struct lt_loader *l)
{
    if (l->shuffle) {
        lt_order_shuffle(l->perm, (uint32_t)l->order.samples, l->c.seed, l->epoch);
        return;
    }
    for (uint32_t i = 0; i < l->order.samples; i++)
        l->perm[i] = i;
}

static void fill(struct lt_loader *l, struct slot *s)
{
    int64_t n = lt_loader_batch_size(l, l->at);

    for (int i = 0; i < slices_of(&l->c); i++) {
        struct lt_order o = l->order;
        int64_t at = i * (n / slices_of(&l->c));

        o.rank += (uint32_t)i;
        lt_order_batch(&o, l->at, l->index + at, s->weight + at);
    }
    for (int64_t i = 0; i < n; i++) {
        l->index[i] = l->perm[l->index[i]];
        s->sample[i] = l->index[i];
    }
    lt_data_read(l->c.data, l->c.split, l->index, n, s->field);
    s->batch.n = n;
    s->batch.epoch = l->epoch;
    s->batch.index = l->at;
}

static inline void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

/* Waits until the ring has a free slot. False: stop. */
static bool producer_wait(struct lt_loader *l, uint64_t made)
{
    if (made - atomic_load(&l->used) < l->slots)
        return !atomic_load(&l->stop);
    pthread_mutex_lock(&l->lock);
    atomic_store(&l->producer_sleeps, true);
    while (!atomic_load(&l->stop) && made - atomic_load(&l->used) > l->slots / 2)
        pthread_cond_wait(&l->wake, &l->lock);
    atomic_store(&l->producer_sleeps, false);
    pthread_mutex_unlock(&l->lock);
    return !atomic_load(&l->stop);
}

static void *produce(void *arg)
{
    struct lt_loader *l = arg;
    uint64_t made = atomic_load(&l->made);

    new_order(l);
    while (producer_wait(l, made)) {
        fill(l, &l->slot[made % l->slots]);
        atomic_store(&l->made, ++made);
        if (atomic_load(&l->consumer_sleeps)) {
            pthread_mutex_lock(&l->lock);
            pthread_cond_broadcast(&l->wake);
            pthread_mutex_unlock(&l->lock);
        }
        if (++l->at == l->batches) {
            l->at = 0;
            l->epoch++;
            if (l->shuffle)
                new_order(l);
        }
    }
    return NULL;
}

static void stop_thread(struct lt_loader *l)
{
    if (!l->running)
        return;
    pthread_mutex_lock(&l->lock);
    atomic_store(&l->stop, true);
    pthread_cond_broadcast(&l->wake);
    pthread_mutex_unlock(&l->lock);
    pthread_join(l->thread, NULL);
    l->running = false;
}

/* Signals are the main thread's. */
static int start_thread(struct lt_loader *l, struct lt_error *err)
{
    pthread_attr_t attr;
    sigset_t all, old;
    int rc;

    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    rc = pthread_create(&l->thread, &attr, produce, l);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    if (rc)
        return lt_error_set(err, -rc, "no thread for reading ahead: %s", strerror(rc));
    l->running = true;
    return 0;
}

int lt_loader_start(struct lt_loader *l, uint64_t epoch, uint64_t batch, struct lt_error *err)
{
    if (!l->batches)
        return lt_error_set(err, -EINVAL, "split `%s` has no batches", lt_split_names[l->c.split]);
    stop_thread(l);
    atomic_store(&l->stop, false);
    atomic_store(&l->made, 0);
    atomic_store(&l->used, 0);
    l->holding = false;
    l->epoch = epoch + batch / l->batches;
    l->at = batch % l->batches;
    return start_thread(l, err);
}

static void consumer_wait(struct lt_loader *l, uint64_t used)
{
    for (int i = 0; i < l->spin; i++) {
        if (atomic_load_explicit(&l->made, memory_order_acquire) > used)
            return;
        relax();
    }
    pthread_mutex_lock(&l->lock);
    atomic_store(&l->consumer_sleeps, true);
    while (atomic_load(&l->made) <= used)
        pthread_cond_wait(&l->wake, &l->lock);
    atomic_store(&l->consumer_sleeps, false);
    pthread_mutex_unlock(&l->lock);
}

/* Gives the batch of the last call back. */
static void give_back(struct lt_loader *l)
{
    uint64_t used = atomic_fetch_add(&l->used, 1) + 1;

    if (atomic_load(&l->producer_sleeps) && atomic_load(&l->made) - used <= l->slots / 2) {
        pthread_mutex_lock(&l->lock);
        pthread_cond_broadcast(&l->wake);
        pthread_mutex_unlock(&l->lock);
    }
}

const struct lt_batch *lt_loader_next(struct lt_loader *l)
{
    if (l->holding)
        give_back(l);
    l->holding = true;
    uint64_t used = atomic_load(&l->used);
    if (atomic_load_explicit(&l->made, memory_order_acquire) <= used)
        consumer_wait(l, used);
    return &l->slot[used % l->slots].batch;
}

void lt_loader_close(struct lt_loader *l)
{
    if (!l)
        return;
    stop_thread(l);
    if (l->region)
        munmap(l->region, l->region_bytes);
    for (uint64_t i = 0; i < SLOTS_MAX; i++)
        lt_free(l->slot[i].field);
    pthread_cond_destroy(&l->wake);
    pthread_mutex_destroy(&l->lock);
    free(l);
}
