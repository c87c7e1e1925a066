/* test_coll.c - every collective, type and size in worlds of 1 to 5 processes, bit for bit against
 * a plain computation in rank order
 */
#include <setjmp.h>
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/error.h"
#include "engine/comm/comm.h"
#include "tests/support/ranks.h"

static const enum lt_dtype types[] = {LT_F32, LT_F64, LT_BF16, LT_I32, LT_I64};

#define CHUNK ((size_t)256 << 10) /* SHM_CHUNK, MPI_CHUNK: bytes */
#define DIRECT ((size_t)8 << 10)  /* of shm: this much in all goes another way; of mpi: twice */
#define SIZES_MAX 16

/* Elements: none, few, on both sides of every border between ways and chunks, and, of one type,
 * several chunks. */
static int sizes_of(enum lt_dtype d, int world, size_t *out)
{
    size_t size = lt_dtype_sizes[d], w = (size_t)world, chunk = CHUNK / size;
    const size_t direct = DIRECT / size / w;
    const size_t all[] = {0, 1, 7, direct, direct + 1, 2 * direct + 1, chunk / w,
                          chunk / w + 1, chunk - 1, chunk, chunk + 1, 300007};
    int n = (int)(sizeof all / sizeof *all) - (d != LT_F32);

    memcpy(out, all, (size_t)n * sizeof *all);
    return n;
}

/* Element i of what a rank brings as its term t: floats of any magnitude, so that another order of adding gives other
 * bits. */
static uint64_t mix(uint64_t rank, uint64_t t, uint64_t i)
{
    uint64_t z = (rank * 1000003 + t * 7919 + i + 1) * 0x9e3779b97f4a7c15u;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static double number(int rank, int t, size_t i)
{
    uint64_t z = mix((uint64_t)rank, (uint64_t)t, i);

    return ((double)(z >> 40) / 16777216.0 - 0.5) * (double)(1u << (z & 15));
}

static void fill(enum lt_dtype d, void *to, int rank, int t, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (d == LT_I32)
            ((int32_t *)to)[i] = (int32_t)mix((uint64_t)rank, (uint64_t)t, i);
        else if (d == LT_I64)
            ((int64_t *)to)[i] = (int64_t)mix((uint64_t)rank, (uint64_t)t, i);
        else
            lt_dtype_store(d, to, (int64_t)i, number(rank, t, i));
    }
}

/* The sum of a plain loop. acc: float32 for bfloat16, rounded once by the caller. */
static void expect_sum(enum lt_dtype d, void *out, int world, int terms, size_t from, size_t n)
{
    size_t size = lt_dtype_sizes[d];
    char *one = malloc((from + n) * size + 1);
    float *acc = calloc(n + 1, sizeof *acc);

    for (int r = 0; r < world; r++) {
        for (int t = 0; t < terms; t++) {
            bool first = r == 0 && t == 0;

            fill(d, one, r, t, from + n);
            for (size_t i = 0; i < n; i++) {
                size_t j = from + i;

                if (d == LT_F32)
                    ((float *)out)[i] = first ? ((float *)(void *)one)[j]
                                              : ((float *)out)[i] + ((float *)(void *)one)[j];
                else if (d == LT_F64)
                    ((double *)out)[i] = first ? ((double *)(void *)one)[j]
                                               : ((double *)out)[i] + ((double *)(void *)one)[j];
                else if (d == LT_I32)
                    ((uint32_t *)out)[i] = (first ? 0 : ((uint32_t *)out)[i]) +
                                           ((uint32_t *)(void *)one)[j];
                else if (d == LT_I64)
                    ((uint64_t *)out)[i] = (first ? 0 : ((uint64_t *)out)[i]) +
                                           ((uint64_t *)(void *)one)[j];
                else
                    acc[i] = first ? (float)lt_dtype_load(d, one, (int64_t)j)
                                   : acc[i] + (float)lt_dtype_load(d, one, (int64_t)j);
            }
        }
    }
    for (size_t i = 0; i < n && d == LT_BF16; i++)
        lt_dtype_store(d, out, (int64_t)i, acc[i]);
    free(one);
    free(acc);
}

static void run(struct lt_comm *c, struct lt_coll *k)
{
    struct lt_error err = {0};

    if (lt_comm_run(c, k, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        _exit(6);
    }
}

static int all_reduce_all(struct lt_comm *c, void *arg)
{
    int world = lt_comm_world(c), rank = lt_comm_rank(c);

    (void)arg;
    for (size_t d = 0; d < sizeof types / sizeof *types; d++) {
        size_t sizes[SIZES_MAX];
        int n_sizes = sizes_of(types[d], world, sizes);

        for (int s = 0; s < n_sizes; s++) {
            size_t n = sizes[s], bytes = n * lt_dtype_sizes[types[d]];
            char *in = malloc(bytes + 1), *out = malloc(bytes + 1), *want = malloc(bytes + 1);
            struct lt_coll k = {.kind = LT_COLL_ALL_REDUCE, .dtype = types[d]};

            fill(types[d], in, rank, 0, n);
            expect_sum(types[d], want, world, 1, 0, n);
            k.one = (struct lt_coll_part){.in = in, .out = out, .count = n};
            run(c, &k);
            LT_RANK_CHECK(memcmp(out, want, bytes) == 0);
            k.one.out = in; /* in place, and the same collective again */
            run(c, &k);
            LT_RANK_CHECK(memcmp(in, want, bytes) == 0);
            free(in);
            free(out);
            free(want);
        }
    }
    return 0;
}

/* A bucket of tensors that don't lie together, each with several terms. */
static int all_reduce_parts(struct lt_comm *c, void *arg)
{
    static const size_t counts[] = {3, 0, 70001, 1, 90000, 17};
    enum { N = sizeof counts / sizeof *counts };
    int world = lt_comm_world(c), rank = lt_comm_rank(c), terms = *(int *)arg;

    for (size_t d = 0; d < sizeof types / sizeof *types; d++) {
        size_t size = lt_dtype_sizes[types[d]], total = 0, at = 0;
        struct lt_coll_part part[N];
        struct lt_coll k = {.kind = LT_COLL_ALL_REDUCE,
                            .dtype = types[d],
                            .terms = terms,
                            .parts = part,
                            .n_parts = N};
        char *want, *flat;

        for (int i = 0; i < N; i++)
            total += counts[i];
        want = malloc(total * size);
        flat = malloc(total * size);
        expect_sum(types[d], want, world, terms, 0, total);
        for (int i = 0; i < N; i++) {
            size_t bytes = counts[i] * size;
            char *in = malloc((size_t)terms * bytes + 64);

            for (int t = 0; t < terms; t++) {
                fill(types[d], flat, rank, t, total);
                memcpy(in + (size_t)t * bytes, flat + at * size, bytes);
            }
            part[i] = (struct lt_coll_part){in, in, counts[i], bytes};
            at += counts[i];
        }
        run(c, &k);
        at = 0;
        for (int i = 0; i < N; i++) {
            LT_RANK_CHECK(memcmp(part[i].out, want + at * size, counts[i] * size) == 0);
            at += counts[i];
            free(part[i].out);
        }
        free(want);
        free(flat);
    }
    return 0;
}

/* ---- a collective with its memory and what must come out */

struct one {
    struct lt_coll k;
    char *in, *out, *want;
    size_t out_bytes;
};

static bool in_blocks(enum lt_coll_kind kind)
{
    return kind == LT_COLL_REDUCE_SCATTER || kind == LT_COLL_ALL_TO_ALL;
}

static bool out_blocks(enum lt_coll_kind kind)
{
    return kind == LT_COLL_ALL_GATHER || kind == LT_COLL_ALL_TO_ALL;
}

static void expect(const struct lt_comm *c, struct one *x, size_t n)
{
    enum lt_dtype d = x->k.dtype;
    size_t bytes = n * lt_dtype_sizes[d], rank = (size_t)lt_comm_rank(c);
    int world = lt_comm_world(c);
    char *theirs = malloc((size_t)world * bytes + 1);

    if (x->k.kind == LT_COLL_ALL_REDUCE)
        expect_sum(d, x->want, world, 1, 0, n);
    else if (x->k.kind == LT_COLL_REDUCE_SCATTER)
        expect_sum(d, x->want, world, 1, rank * n, n);
    else if (x->k.kind == LT_COLL_BROADCAST)
        fill(d, x->want, x->k.root, 0, n);
    for (int r = 0; r < world && out_blocks(x->k.kind); r++) {
        bool all = x->k.kind == LT_COLL_ALL_GATHER;

        fill(d, theirs, r, 0, all ? n : (size_t)world * n);
        memcpy(x->want + (size_t)r * bytes, theirs + (all ? 0 : rank * bytes), bytes);
    }
    free(theirs);
}

static void one_make(const struct lt_comm *c, struct one *x, enum lt_coll_kind kind,
                     enum lt_dtype d, size_t n)
{
    size_t world = (size_t)lt_comm_world(c), count = in_blocks(kind) ? world * n : n;

    memset(x, 0, sizeof *x);
    x->in = malloc(count * lt_dtype_sizes[d] + 1);
    x->out_bytes = (out_blocks(kind) ? world * n : n) * lt_dtype_sizes[d];
    x->out = calloc(x->out_bytes + 1, 1);
    x->want = malloc(x->out_bytes + 1);
    x->k.kind = kind;
    x->k.dtype = d;
    x->k.root = (int)(n % world);
    x->k.one = (struct lt_coll_part){x->in, x->out, n, 0};
    fill(d, x->in, lt_comm_rank(c), 0, count);
    expect(c, x, n);
}

static int one_check(struct one *x)
{
    int same = x->k.kind == LT_COLL_BARRIER || memcmp(x->out, x->want, x->out_bytes) == 0;

    free(x->in);
    free(x->out);
    free(x->want);
    return same;
}

static int as_expected(struct lt_comm *c, enum lt_coll_kind kind, enum lt_dtype d, size_t n)
{
    struct one x;

    one_make(c, &x, kind, d, n);
    run(c, &x.k);
    return one_check(&x);
}

static int broadcast(struct lt_comm *c, enum lt_dtype d, size_t n, int root, int in_place)
{
    size_t bytes = n * lt_dtype_sizes[d];
    char *in = malloc(bytes + 1), *out = malloc(bytes + 1), *want = malloc(bytes + 1);
    struct lt_coll_part part[2] = {{in, in_place ? in : out, n / 3, 0},
                                   {in + n / 3 * lt_dtype_sizes[d],
                                    (in_place ? in : out) + n / 3 * lt_dtype_sizes[d], n - n / 3,
                                    0}};
    struct lt_coll k = {.kind = LT_COLL_BROADCAST,
                        .dtype = d,
                        .root = root,
                        .parts = part,
                        .n_parts = 2};
    int same;

    fill(d, in, lt_comm_rank(c), 0, n);
    fill(d, want, root, 0, n);
    run(c, &k);
    same = memcmp(in_place ? in : out, want, bytes) == 0;
    free(in);
    free(out);
    free(want);
    return same;
}

static int others_all(struct lt_comm *c, void *arg)
{
    (void)arg;
    for (size_t d = 0; d < sizeof types / sizeof *types; d++) {
        size_t sizes[SIZES_MAX];
        int n = sizes_of(types[d], lt_comm_world(c), sizes);

        for (int s = 0; s < n; s++) {
            LT_RANK_CHECK(as_expected(c, LT_COLL_REDUCE_SCATTER, types[d], sizes[s]));
            LT_RANK_CHECK(as_expected(c, LT_COLL_ALL_GATHER, types[d], sizes[s]));
            LT_RANK_CHECK(as_expected(c, LT_COLL_ALL_TO_ALL, types[d], sizes[s]));
            LT_RANK_CHECK(lt_comm_barrier(c, NULL) == 0);
            for (int root = 0; root < lt_comm_world(c); root++)
                LT_RANK_CHECK(broadcast(c, types[d], sizes[s], root, root & 1));
        }
    }
    return 0;
}

static int small_things(struct lt_comm *c, void *arg)
{
    int world = lt_comm_world(c), rank = lt_comm_rank(c);
    double sums[3] = {1, rank, 0.5};
    int64_t most[2] = {rank, -rank};
    int32_t bits = 1 << rank;
    float extremes[2] = {(float)rank, rank == 0 ? __builtin_nanf("") : 1};
    struct lt_coll k = {.kind = LT_COLL_ALL_REDUCE,
                        .dtype = LT_F32,
                        .op = LT_COLL_MIN,
                        .one = {extremes, extremes, 2, 0}};
    char text[6] = "-----";

    (void)arg;
    LT_RANK_CHECK(lt_comm_sum_f64(c, sums, 3, "sums", NULL) == 0);
    LT_RANK_CHECK(sums[0] == world && sums[1] == world * (world - 1) / 2.0);
    LT_RANK_CHECK(lt_comm_max_i64(c, most, 2, NULL, NULL) == 0);
    LT_RANK_CHECK(most[0] == world - 1 && most[1] == 0);
    LT_RANK_CHECK(lt_comm_or_i32(c, &bits, 1, "commands", NULL) == 0);
    LT_RANK_CHECK(bits == (1 << world) - 1);
    run(c, &k);
    LT_RANK_CHECK(extremes[0] == 0 && extremes[1] != extremes[1]);
    if (rank == world - 1)
        memcpy(text, "hello", 6);
    LT_RANK_CHECK(lt_comm_broadcast(c, text, sizeof text, world - 1, "text", NULL) == 0);
    LT_RANK_CHECK(strcmp(text, "hello") == 0);
    return 0;
}

/* Many under way at once, done in order, poked while there is other work. */
static int many_at_once(struct lt_comm *c, void *arg)
{
    enum { N = 40 };
    struct lt_coll k[N] = {0};
    float *data = malloc(N * 5000 * sizeof *data);

    (void)arg;
    for (int i = 0; i < N * 5000; i++)
        data[i] = (float)(lt_comm_rank(c) + i / 5000);
    for (int i = 0; i < N; i++) {
        k[i].kind = LT_COLL_ALL_REDUCE;
        k[i].one = (struct lt_coll_part){data + i * 5000, data + i * 5000, 5000, 0};
        LT_RANK_CHECK(lt_comm_start(c, &k[i], NULL) == 0);
    }
    LT_RANK_CHECK(lt_comm_world(c) == 1 || lt_comm_start(c, &k[N - 1], NULL) == -EBUSY ||
                  lt_comm_idle(c));
    LT_RANK_CHECK(lt_comm_wait(c, &k[N - 1], NULL) == 0);
    LT_RANK_CHECK(lt_comm_idle(c));
    for (int i = 0; i < N; i++) {
        int world = lt_comm_world(c);

        LT_RANK_CHECK(lt_comm_test(c, &k[i], NULL) == 1);
        LT_RANK_CHECK(data[i * 5000 + 17] == (float)(world * (world - 1) / 2 + world * i));
    }
    free(data);
    return 0;
}

/* All kinds under way together, waited for from the last to the first. */
static int mixed_at_once(struct lt_comm *c, void *arg)
{
    enum { N = 36 };
    static const size_t counts[] = {1, 70001, 0, 333, 20000};
    struct one x[N];

    (void)arg;
    for (int i = 0; i < N; i++) {
        one_make(c, &x[i], (enum lt_coll_kind)(i % LT_COLL_N), types[i % 5], counts[i % 4 + i % 2]);
        LT_RANK_CHECK(lt_comm_start(c, &x[i].k, NULL) == 0);
        if (i % 7 == 3)
            lt_comm_poke(c);
    }
    for (int i = N; i-- > 0;)
        LT_RANK_CHECK(lt_comm_wait(c, &x[i].k, NULL) == 0);
    LT_RANK_CHECK(lt_comm_idle(c));
    for (int i = 0; i < N; i++)
        LT_RANK_CHECK(one_check(&x[i]));
    return 0;
}

/* In worlds of 1 to 5, over everything that joins processes; 1 is `none`. */
static void everywhere(int (*fn)(struct lt_comm *c, void *arg), void *arg)
{
    static const char *const kinds[] = {"shm", "mpi"};

    for (int world = 1; world <= 5; world++) {
        for (size_t i = 0; i < (world > 1 ? sizeof kinds / sizeof *kinds : 1); i++) {
            struct lt_test_ranks t = {
                .world = world, .kind = world > 1 ? kinds[i] : NULL, .fn = fn, .arg = arg};

            assert_int_equal(lt_test_ranks_run(&t), 0);
            assert_int_equal(t.first_status, 0);
        }
    }
}

static void all_reduce_has_the_bits_of_rank_order(void **state)
{
    (void)state;
    everywhere(all_reduce_all, NULL);
}

static void buckets_and_terms_are_one_flat_sum(void **state)
{
    static int terms[] = {1, 3};

    (void)state;
    everywhere(all_reduce_parts, &terms[0]);
    everywhere(all_reduce_parts, &terms[1]);
}

static void every_other_collective(void **state)
{
    (void)state;
    everywhere(others_all, NULL);
}

static void small_things_at_once(void **state)
{
    (void)state;
    everywhere(small_things, NULL);
}

static void many_are_under_way_at_once(void **state)
{
    (void)state;
    everywhere(many_at_once, NULL);
}

static void all_kinds_are_under_way_at_once(void **state)
{
    (void)state;
    everywhere(mixed_at_once, NULL);
}

static void versions_are_of_what_is_loaded(void **state)
{
    struct lt_comm_config c = {.kind = "shm", .world = 2};
    struct lt_comm_versions v;
    struct lt_error err = {0};

    (void)state;
    assert_int_equal(lt_comm_versions(&c, &v, &err), 0);
    assert_string_equal(v.mpich, "none");
    c.kind = "mpi";
    c.plugins = "/nowhere";
    assert_int_equal(lt_comm_versions(&c, &v, &err), -ENOENT);
    assert_string_equal(v.mpich, "none");
    assert_string_equal(v.ucx, "none");
    assert_non_null(strstr(err.text, "libmpich12"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(versions_are_of_what_is_loaded),
        cmocka_unit_test(all_reduce_has_the_bits_of_rank_order),
        cmocka_unit_test(buckets_and_terms_are_one_flat_sum),
        cmocka_unit_test(every_other_collective),
        cmocka_unit_test(small_things_at_once),
        cmocka_unit_test(many_are_under_way_at_once),
        cmocka_unit_test(all_kinds_are_under_way_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
