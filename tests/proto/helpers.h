/* helpers.h - texts in, problems as text out */
#ifndef LT_TESTS_PROTO_HELPERS_H
#define LT_TESTS_PROTO_HELPERS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "base/arena.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/problem.h"
#include "proto/plan.h"
#include "proto/text/text.h"

#define ARENA_CAP (64u << 20)

/* A plan without a problem; each test changes a line of it. */
static const char good_plan[] = "model: {layers: [flatten, {linear: {out_features: 10}}]}\n"
                                "data:\n"
                                "  source: {idx: {dir: /data}}\n"
                                "  train: {split: train, range: [0, 55000]}\n"
                                "  val: {split: train, range: [55000, 60000]}\n"
                                "  batch_size: 32\n"
                                "step: {loss: cross_entropy, metrics: [accuracy]}\n"
                                "optimizer: {adam: {lr: 1e-3}}\n"
                                "trainer: {max_epochs: 2}\n";

/* line:column path: reason (remedy) */
static inline void problems_text(const struct lt_problems *p, struct lt_buf *out)
{
    for (size_t i = 0; i < p->len; i++) {
        const struct lt_problem *q = &p->items[i];

        lt_buf_printf(out, "%s%d:%d %s: %s (%s)\n", q->warning ? "warning " : "", q->line,
                      q->column, q->path, q->reason, q->remedy);
    }
}

static inline void expect_text(const char *got, const char *want)
{
    if (strcmp(got ? got : "", want) != 0)
        print_error("got:\n%s\nwant:\n%s\n", got ? got : "", want);
    assert_string_equal(got ? got : "", want);
}

/* Parse and check; the problems must be these. */
static inline void expect_problems_set(const char *text, const char *const *sets, size_t n_sets,
                                       const char *want)
{
    LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(ARENA_CAP);
    struct lt_problems problems = {0};
    LT_BUF_AUTO got = {0};
    const Lt__V1__JobSpec *spec =
        lt_text_check_spec(text, strlen(text), "/plans", sets, n_sets, arena, &problems);

    problems_text(&problems, &got);
    expect_text(got.data, want);
    assert_true((spec == NULL) == (problems.errors > 0));
    lt_problems_done(&problems);
}

static inline void expect_problems(const char *text, const char *want)
{
    expect_problems_set(text, NULL, 0, want);
}

/* --set on the good plan. */
static inline void expect_set(const char *set, const char *want)
{
    expect_problems_set(good_plan, &set, 1, want);
}

/* A plan that must be readable, with sets. */
static inline Lt__V1__JobSpec *read_spec(const char *text, const char *const *sets, size_t n_sets,
                                         struct lt_arena *arena)
{
    struct lt_problems problems = {0};
    LT_BUF_AUTO got = {0};
    Lt__V1__JobSpec *spec =
        lt_text_parse_spec(text, strlen(text), "/plans", sets, n_sets, arena, &problems);

    problems_text(&problems, &got);
    expect_text(got.data, "");
    assert_non_null(spec);
    lt_problems_done(&problems);
    return spec;
}

#endif
