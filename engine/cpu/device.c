/* device.c - the cpu back end
 *
 * The execution profile is one line of JSON: what was chosen (instruction set, threads, the
 * implementation each node got). Replaying it asks for the same instruction set and number of
 * threads, and refuses where they can't be had.
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "base/buf.h"
#include "base/error.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "engine/cpu/isa.h"
#include "engine/cpu/program.h"

/* The library, a primitive with its code, a thread's stack: 0.4 to 1.4 MiB in all on six nets. */
#define OVERHEAD_LIBRARY (512u << 10)
#define OVERHEAD_PRIMITIVE (8u << 10)
#define OVERHEAD_THREAD (64u << 10)

int lt_cpu_threads(const struct lt_device *d, double ns)
{
    return ns > 4000 ? d->threads : 1;
}

static int usable_cores(void)
{
    cpu_set_t set;

    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

/* Of "key":value in a profile of ours; the value's text, or NULL. */
static const char *profile_field(const char *profile, const char *key)
{
    const char *at = strstr(profile, key);

    return at ? at + strlen(key) : NULL;
}

struct choice {
    char isa[24];
    int threads;
    enum lt_low low;
};

/* How bfloat16 was computed, where it was. */
static enum lt_low profile_low(const char *profile)
{
    const char *low = profile_field(profile, "\"bfloat16\":\"");

    for (int i = LT_LOW_NATIVE; low && i <= LT_LOW_EMULATED; i++)
        if (lt_str_starts(low, lt_low_names[i]))
            return (enum lt_low)i;
    return LT_LOW_UNKNOWN;
}

static int profile_read(const char *profile, struct choice *c, struct lt_error *err)
{
    const char *isa = profile_field(profile, "\"isa\":\""),
               *threads = profile_field(profile, "\"threads\":");

    if (!isa || !threads || sscanf(isa, "%23[a-z0-9_]", c->isa) != 1 ||
        sscanf(threads, "%d", &c->threads) != 1 || c->threads < 1)
        return lt_error_set(err, -EINVAL,
                            "the execution profile isn't one of the cpu back end: %.80s", profile);
    c->low = profile_low(profile);
    return 0;
}

static void layouts_init(struct lt_device *d)
{
    static const enum lt_layout_kind fixed[LT_LAYOUT_FIXED] = {LT_LAYOUT_PLAIN, LT_LAYOUT_LAST,
                                                               LT_LAYOUT_TURNED};

    for (int i = 0; i < LT_LAYOUT_FIXED; i++)
        lt_layout_find(d, &(struct lt_layout){.kind = fixed[i]});
}

static int cpu_open(const struct lt_device_config *c, struct lt_device **out, struct lt_error *err)
{
    struct choice choice = {.threads = c->threads > 0 ? c->threads : usable_cores()};
    const struct lt_kern_table *kern;
    struct lt_device *d;
    int rc = c->profile ? profile_read(c->profile, &choice, err) : 0;

    if (rc < 0)
        return rc;
    kern = lt_isa_select(c->profile ? choice.isa : c->max_isa, err);
    if (!kern)
        return err ? err->code : -ENOTSUP;
    if (c->profile && strcmp(kern->isa, choice.isa) != 0)
        return lt_error_set(err, -ENOTSUP, "the execution profile wants %s, this machine offers %s",
                            choice.isa, kern->isa);
    if (choice.low == LT_LOW_NATIVE && !lt_isa_has_bfloat16(NULL))
        return lt_error_set(err, -ENOTSUP,
                            "the execution profile wants bfloat16, which this machine can't compute");
    if (kern == &lt_kern_avx2 && !lt_dnn_cap("avx2"))
        return lt_error_set(err, -ENOTSUP,
                            "oneDNN has made code for another instruction set in this process");
    d = lt_calloc(1, sizeof *d);
    d->kern = kern;
    d->kern_f64 = lt_isa_float64(kern);
    d->low = choice.low;
    d->measured = c->cache_dir ? lt_format("%s/measured", c->cache_dir) : NULL;
    d->max_isa = c->max_isa ? lt_strdup(c->max_isa) : NULL;
    d->threads = choice.threads;
    d->allow_reference = c->allow_reference;
    d->comm = c->comm;
    d->persistent = lt_map_new(NULL);
    d->chosen = lt_map_new(lt_free);
    layouts_init(d);
    lt_par_enter(d->threads);
    *out = d;
    return 0;
}

static void cpu_close(struct lt_device *d)
{
    if (!d)
        return;
    for (int i = 0; i < d->n_layouts; i++)
        lt_md_free(d->layouts[i].md);
    lt_free(d->layouts);
    lt_map_free(d->persistent);
    lt_map_free(d->chosen);
    lt_free(d->measured);
    lt_free(d->max_isa);
    lt_free(d);
}

static int cpu_layout_of(struct lt_device *d, const char *name)
{
    void *known = lt_map_get(d->persistent, name);

    return known ? (int)((intptr_t)known - 1) : 0;
}

/* Names come from plans; a profile is one line of JSON whatever they hold. */
static void json_text(struct lt_buf *out, const char *s)
{
    lt_buf_char(out, '"');
    for (; *s; s++) {
        if (*s == '"' || *s == '\\')
            lt_buf_char(out, '\\');
        lt_buf_char(out, (unsigned char)*s < 0x20 ? ' ' : *s);
    }
    lt_buf_char(out, '"');
}

static void cpu_profile(struct lt_device *d, struct lt_buf *out)
{
    const char *node;
    void *kernel;
    bool first = true;

    lt_buf_printf(
        out, "{\"backend\":\"cpu\",\"isa\":\"%s\",\"threads\":%d,\"onednn\":\"%s\",", d->kern->isa,
        d->threads, lt_dnn_version());
    if (d->low)
        lt_buf_printf(out, "\"bfloat16\":\"%s\",", lt_low_names[d->low]);
    lt_buf_str(out, "\"kernels\":{");
    for (size_t i = 0; lt_map_next(d->chosen, &i, &node, &kernel); first = false) {
        lt_buf_str(out, first ? "" : ",");
        json_text(out, node);
        lt_buf_char(out, ':');
        json_text(out, kernel);
    }
    lt_buf_str(out, "}}");
}

static void *cpu_alloc(struct lt_device *d, size_t bytes, struct lt_error *err)
{
    size_t size = bytes ? bytes : LT_ALIGN;
    void *p =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

    (void)d;
    if (p == MAP_FAILED) {
        lt_error_set(err, -ENOMEM, "cannot map %zu bytes: %s", size, strerror(errno));
        return NULL;
    }
    return p;
}

static void cpu_release(struct lt_device *d, void *p, size_t bytes)
{
    (void)d;
    if (p)
        munmap(p, bytes ? bytes : LT_ALIGN);
}

static const char *cpu_slower(const struct lt_device *d)
{
    return d->low == LT_LOW_EMULATED
               ? "bfloat16 is emulated on this machine, slower than 32-true: operands are rounded "
                 "and float32 kernels run"
               : NULL;
}

static size_t cpu_overhead(const struct lt_device *d)
{
    return OVERHEAD_LIBRARY + (size_t)d->primitives * OVERHEAD_PRIMITIVE +
           (size_t)d->threads * OVERHEAD_THREAD;
}

const struct lt_backend lt_backend_cpu = {
    .name = "cpu",
    .open = cpu_open,
    .close = cpu_close,
    .lower = lt_cpu_lower,
    .layout_of = cpu_layout_of,
    .layout_bytes = lt_layout_bytes,
    .to_plain = lt_layout_to_plain,
    .from_plain = lt_layout_from_plain,
    .prepare = lt_program_prepare,
    .scratch_bytes = lt_program_scratch,
    .bind = lt_program_bind,
    .run = lt_program_run,
    .program_free = lt_program_free,
    .value = lt_program_value,
    .kernel_name = lt_program_kernel_name,
    .profile = cpu_profile,
    .slower = cpu_slower,
    .alloc = cpu_alloc,
    .release = cpu_release,
    .overhead_bytes = cpu_overhead,
};
