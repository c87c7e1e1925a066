/* probe.c - does bfloat16 pay here? Measured, not read off the processor's flags
 *
 * With AMX it is four to nine times faster than float32, with AVX512-BF16 alone between twice and
 * slower. So a matrix product and a convolution are timed in both types, about 20 ms in all, on one
 * thread: on a busy machine several would measure how long they wait for each other. What was found
 * is kept in a file, by node and build: jobs of one plan, and the ranks of a job on a node, get one
 * answer, and the same bits. A measurement in progress makes others wait. The execution profile
 * holds the answer, too; replaying that asks nobody.
 */
#include "engine/cpu/cpu.h"

#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "engine/cpu/isa.h"
#include "sys/clock.h"
#include "sys/file.h"

#define PAYS 0.9           /* of float32's time or less */
#define BUDGET_NS 12000000 /* beside making the primitives, and the first round */
#define ROUNDS_MIN 5
#define ROUNDS_MAX 40
#define FILE_MAX 4096

const char *const lt_low_names[] = {"unknown", "native", "emulated", NULL};

/* ---- measuring */

static void *zeros(size_t n)
{
    void *p = aligned_alloc(64, (n + 63) / 64 * 64 + 64);

    if (!p)
        abort(); /* as lt_malloc does */
    return memset(p, 0, n);
}

/* A primitive with operands of its own, all zero: these kernels take as long for any numbers. */
struct timed {
    struct lt_prim *p;
    void *data[LT_PRIM_ARG_N];
    uint64_t least;
};

static void timed_init(struct timed *t, struct lt_prim *p)
{
    *t = (struct timed){.p = p, .least = UINT64_MAX};
    for (int a = 0; p && a < LT_PRIM_ARG_N; a++) {
        const struct lt_md *m = lt_prim_md(p, (enum lt_prim_arg)a);

        if (!m)
            continue;
        t->data[a] = zeros(lt_md_bytes(m));
        lt_prim_set(p, (enum lt_prim_arg)a, t->data[a]);
    }
}

static void timed_done(struct timed *t)
{
    for (int a = 0; a < LT_PRIM_ARG_N; a++)
        free(t->data[a]);
    lt_prim_free(t->p);
}

static struct lt_prim *matmul_make(enum lt_dtype t)
{
    LT_AUTO(lt_md_free) struct lt_md *x = lt_md_strided(t, 2, (int64_t[]){128, 512}, NULL);
    LT_AUTO(lt_md_free) struct lt_md *w = lt_md_strided(t, 2, (int64_t[]){512, 512}, NULL);
    LT_AUTO(lt_md_free) struct lt_md *y = lt_md_strided(LT_F32, 2, (int64_t[]){128, 512}, NULL);
    struct lt_matmul_spec s = {.src = x, .weights = w, .dst = y, .threads = 1};
    struct lt_prim *p = NULL;

    return lt_prim_matmul(&s, &p, NULL) < 0 ? NULL : p;
}

static struct lt_prim *conv_make(enum lt_dtype t)
{
    const int64_t x[4] = {8, 32, 14, 14}, y[4] = {8, 64, 14, 14}, w[4] = {64, 32, 3, 3};
    const int64_t xs[4] = {32 * 196, 1, 14 * 32, 32}, ys[4] = {64 * 196, 1, 14 * 64, 64};
    LT_AUTO(lt_md_free) struct lt_md *mx = lt_md_strided(t, 4, x, xs);
    LT_AUTO(lt_md_free) struct lt_md *my = lt_md_strided(t, 4, y, ys);
    LT_AUTO(lt_md_free) struct lt_md *mw = lt_md_any(t, 4, w);
    struct lt_conv_spec s = {.kind = LT_CONV_FORWARD,
                             .src = mx,
                             .weights = mw,
                             .dst = my,
                             .stride = {1, 1},
                             .dilation = {1, 1},
                             .pad_before = {1, 1},
                             .pad_after = {1, 1},
                             .threads = 1};
    struct lt_prim *p = NULL;

    return lt_prim_conv(&s, &p, NULL) < 0 ? NULL : p;
}

/* All in turn, so that what disturbs one disturbs the others, too. */
static void rounds(struct timed *t, int n)
{
    uint64_t end = 0;

    for (int round = 0; round <= ROUNDS_MAX; round++) {
        for (int i = 0; i < n; i++) {
            uint64_t start = lt_clock_mono_ns(), took;

            lt_prim_run(t[i].p);
            took = lt_clock_mono_ns() - start;
            if (round) /* the first one warms up */
                t[i].least = LT_MIN(t[i].least, took);
        }
        if (!round)
            end = lt_clock_mono_ns() + BUDGET_NS;
        else if (round >= ROUNDS_MIN && lt_clock_mono_ns() > end)
            return;
    }
}

/* The sum of both, so that what takes longer counts for more. ns: float32's, bfloat16's. */
static enum lt_low time_both(uint64_t ns[2])
{
    static const enum lt_dtype types[] = {LT_F32, LT_BF16};
    struct timed t[4];
    bool all = true;

    for (int i = 0; i < 4; i++) {
        timed_init(&t[i], i < 2 ? matmul_make(types[i % 2]) : conv_make(types[i % 2]));
        all = all && t[i].p;
    }
    ns[0] = ns[1] = 0;
    if (all)
        rounds(t, 4);
    for (int i = 0; i < 4; i++) {
        ns[i % 2] += all ? t[i].least : 0;
        timed_done(&t[i]);
    }
    return all && (double)ns[1] <= PAYS * (double)ns[0] ? LT_LOW_NATIVE : LT_LOW_EMULATED;
}

/* Within a process the answer is found once. */
static enum lt_low measure(uint64_t ns[2])
{
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    static enum lt_low known;
    static uint64_t took[2];
    enum lt_low low;

    pthread_mutex_lock(&mutex);
    if (known == LT_LOW_UNKNOWN)
        known = time_both(took);
    low = known;
    memcpy(ns, took, sizeof took);
    pthread_mutex_unlock(&mutex);
    return low;
}

/* ---- keeping */

static void processor_text(char out[49])
{
    unsigned r[12] = {0};

    for (unsigned i = 0; i < 3; i++)
        __get_cpuid(0x80000002u + i, &r[4 * i], &r[4 * i + 1], &r[4 * i + 2], &r[4 * i + 3]);
    memcpy(out, r, 48);
    out[48] = '\0';
}

/* What the answer depends on, as one line. Not on the cores that are ours: one thread measures, and
 * the ranks of a job, each with cores of its own, are to compute alike. */
static void key_text(struct lt_buf *out)
{
    char host[256] = "", processor[49];

    gethostname(host, sizeof host - 1);
    processor_text(processor);
    lt_buf_printf(out, "bfloat16 1 | %s | %s | ltd %s | oneDNN %s\n", host, processor, LT_VERSION,
                  lt_dnn_version());
}

static enum lt_low answer_read(const char *path, const struct lt_buf *key)
{
    LT_BUF_AUTO text = {0};

    if (lt_file_read(path, FILE_MAX + key->len, &text, NULL) < 0 || text.len <= key->len ||
        memcmp(text.data, key->data, key->len) != 0)
        return LT_LOW_UNKNOWN;
    for (int i = LT_LOW_NATIVE; i <= LT_LOW_EMULATED; i++)
        if (lt_str_starts(text.data + key->len, lt_low_names[i]))
            return (enum lt_low)i;
    return LT_LOW_UNKNOWN;
}

static void answer_write(const char *path, const struct lt_buf *key, enum lt_low low,
                         const uint64_t ns[2])
{
    LT_BUF_AUTO text = {0};

    lt_buf_append(&text, key->data, key->len);
    lt_buf_printf(&text, "%s: float32 %.0f us, bfloat16 %.0f us\n", lt_low_names[low],
                  (double)ns[0] * 1e-3, (double)ns[1] * 1e-3);
    lt_file_put(path, text.data, text.len, 0600, NULL); /* without it the next one measures again */
}

/* -1: nobody else can be kept from measuring, and nothing is lost by it. */
static int lock(const char *dir)
{
    LT_AUTO(lt_free) char *path = lt_format("%s/probe.lock", dir);
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int fd = lt_file_make_dirs(dir, 0700, NULL) < 0
                 ? -1
                 : lt_file_open(path, O_RDWR | O_CREAT, 0600, NULL);

    while (fd >= 0 && fcntl(fd, F_OFD_SETLKW, &whole) < 0 && errno == EINTR)
        ;
    return fd;
}

/* Whoever caps the library's instruction set from outside has no bfloat16, whatever was measured. */
static bool library_can(void)
{
    LT_AUTO(lt_prim_free) struct lt_prim *p = matmul_make(LT_BF16);

    return p != NULL;
}

static enum lt_low measured(const struct lt_device *d)
{
    LT_BUF_AUTO key = {0};
    LT_AUTO(lt_free) char *path = NULL;
    uint64_t ns[2] = {0, 0};
    enum lt_low low;
    int fd;

    if (!d->measured)
        return measure(ns);
    key_text(&key);
    path = lt_format("%s/bfloat16-%016llx", d->measured,
                     (unsigned long long)lt_hash64(key.data, key.len));
    fd = lock(d->measured);
    low = answer_read(path, &key);
    if (low == LT_LOW_UNKNOWN) {
        low = measure(ns);
        answer_write(path, &key, low, ns);
    }
    if (fd >= 0)
        close(fd);
    return low == LT_LOW_NATIVE && !library_can() ? LT_LOW_EMULATED : low;
}

void lt_low_decide(struct lt_device *d)
{
    if (d->low != LT_LOW_UNKNOWN)
        return;
    d->low = lt_isa_has_bfloat16(d->max_isa) ? measured(d) : LT_LOW_EMULATED;
}
