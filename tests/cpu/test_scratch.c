/* test_scratch.c - oneDNN's convolutions give the same bits whatever their scratch memory holds, and stay inside it
 *
 * In training it holds what other operators left there.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "base/error.h"
#include "base/mem.h"
#include "engine/cpu/dnn.h"

#define SHAPES 150
#define GUARD 4096

static const char *const kind_names[] = {"forward", "data", "weights"};

struct shape {
    int64_t n, ic, oc, h, w, kernel[2], stride[2], dilation[2], pad[2], out[2];
};

static uint64_t state_;

static int64_t draw(int64_t from, int64_t to)
{
    state_ = state_ * 6364136223846793005ull + 1442695040888963407ull;
    return from + (int64_t)((state_ >> 33) % (uint64_t)(to - from + 1));
}

/* Small images and large strides: where rows end is where kernels err. */
static void shape_draw(struct shape *s)
{
    bool same = draw(0, 1);

    do {
        *s = (struct shape){draw(1, 3), draw(1, 40), draw(1, 40), draw(1, 8), draw(1, 8), {0}, {0}, {0}, {0}, {0}};
        for (int i = 0; i < 2; i++) {
            int64_t in = i ? s->w : s->h;

            s->kernel[i] = same ? 3 : draw(1, 4);
            s->stride[i] = draw(1, 3);
            s->dilation[i] = same ? 1 : draw(1, 2);
            s->pad[i] = same ? 1 : draw(0, 2);
            s->out[i] = (in + 2 * s->pad[i] - (s->kernel[i] - 1) * s->dilation[i] - 1 + s->stride[i]) / s->stride[i];
        }
    } while (s->out[0] < 1 || s->out[1] < 1);
}

static struct lt_md *image(enum lt_dtype t, int64_t n, int64_t c, int64_t h, int64_t w)
{
    return lt_md_strided(t, 4, (int64_t[]){n, c, h, w}, (int64_t[]){h * w * c, 1, w * c, c});
}

static struct lt_prim *prim_of(const struct shape *s, enum lt_conv_kind kind, enum lt_dtype t)
{
    LT_AUTO(lt_md_free) struct lt_md *src = image(t, s->n, s->ic, s->h, s->w);
    LT_AUTO(lt_md_free) struct lt_md *dst = image(t, s->n, s->oc, s->out[0], s->out[1]);
    LT_AUTO(lt_md_free)
    struct lt_md *weights = lt_md_any(kind == LT_CONV_WEIGHTS ? LT_F32 : t, 4,
                                      (int64_t[]){s->oc, s->ic, s->kernel[0], s->kernel[1]});
    struct lt_conv_spec spec = {.kind = kind, .src = src, .weights = weights, .dst = dst, .threads = 1};
    struct lt_error err = {0};
    struct lt_prim *p;

    for (int i = 0; i < 2; i++) {
        spec.stride[i] = s->stride[i];
        spec.dilation[i] = s->dilation[i];
        spec.pad_before[i] = spec.pad_after[i] = s->pad[i];
    }
    return lt_prim_conv(&spec, &p, &err) < 0 ? NULL : p; /* NULL: a kernel of ours does it */
}

static const enum lt_prim_arg args[][3] = {
    [LT_CONV_FORWARD] = {LT_PRIM_SRC, LT_PRIM_WEIGHTS, LT_PRIM_DST},
    [LT_CONV_DATA] = {LT_PRIM_DIFF_DST, LT_PRIM_WEIGHTS, LT_PRIM_DIFF_SRC},
    [LT_CONV_WEIGHTS] = {LT_PRIM_SRC, LT_PRIM_DIFF_DST, LT_PRIM_DIFF_WEIGHTS},
};

static void *memory(size_t bytes, int fill)
{
    void *p = aligned_alloc(64, (bytes + 63) / 64 * 64);

    assert_non_null(p);
    return memset(p, fill, bytes);
}

/* The result, over operands of zeros: what isn't finite comes from elsewhere. */
static void *result(struct lt_prim *p, enum lt_conv_kind kind, int scratch, size_t *n)
{
    size_t bytes = lt_prim_scratch(p);
    unsigned char *room = memory(bytes + 2 * GUARD, scratch);
    void *of[3];

    for (int i = 0; i < 3; i++) {
        *n = lt_md_bytes(lt_prim_md(p, args[kind][i]));
        of[i] = memory(*n, 0);
        lt_prim_set(p, args[kind][i], of[i]);
    }
    lt_prim_set(p, LT_PRIM_SCRATCH, room + GUARD);
    assert_int_equal(lt_prim_run(p), 0);
    for (size_t i = 0; i < GUARD; i++)
        if (room[i] != scratch || room[GUARD + bytes + i] != scratch)
            fail_msg("%s writes outside its scratch memory", lt_prim_impl(p));
    for (int i = 0; i < 2; i++)
        free(of[i]);
    free(room);
    return of[2];
}

static void check(const struct shape *s, enum lt_conv_kind kind, enum lt_dtype t)
{
    LT_AUTO(lt_prim_free) struct lt_prim *p = prim_of(s, kind, t);
    size_t n;
    void *over_zeros, *over_nan;

    if (!p)
        return;
    over_zeros = result(p, kind, 0, &n);
    over_nan = result(p, kind, 0xff, &n);
    if (memcmp(over_zeros, over_nan, n) != 0)
        fail_msg("%s (%s) of [%d, %d, %d, %d], %d channels out, kernel %dx%d, stride %dx%d, dilation %dx%d, padding "
                 "%dx%d depends on what its scratch memory holds",
                 kind_names[kind], lt_prim_impl(p), (int)s->n, (int)s->ic, (int)s->h, (int)s->w, (int)s->oc,
                 (int)s->kernel[0], (int)s->kernel[1], (int)s->stride[0], (int)s->stride[1],
                 (int)s->dilation[0], (int)s->dilation[1], (int)s->pad[0], (int)s->pad[1]);
    free(over_zeros);
    free(over_nan);
}

static void all_shapes(enum lt_dtype t)
{
    struct shape s;

    state_ = 5;
    for (int i = 0; i < SHAPES; i++) {
        shape_draw(&s);
        for (int k = LT_CONV_FORWARD; k <= LT_CONV_WEIGHTS; k++)
            check(&s, (enum lt_conv_kind)k, t);
    }
}

static void scratch_memory_decides_nothing(void **state)
{
    (void)state;
    all_shapes(LT_F32);
}

static void nor_over_bfloat16(void **state)
{
    (void)state;
    all_shapes(LT_BF16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scratch_memory_decides_nothing),
        cmocka_unit_test(nor_over_bfloat16),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
