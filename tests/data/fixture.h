/* fixture.h - a folder with train (100 samples) and test (20) parts, and a plan's data over it */
#ifndef LT_TESTS_DATA_FIXTURE_H
#define LT_TESTS_DATA_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdbool.h>
/* cmocka.h wants the four above */
#include <cmocka.h>

#include "base/problem.h"
#include "engine/data/data.h"
#include "sys/file.h"
#include "tests/data/make_idx.h"

struct fixture {
    char *dir, *cache;
    Lt__V1__Data data;
    Lt__V1__Source source;
    Lt__V1__Idx idx;
    Lt__V1__Split train, val, test;
    uint64_t train_range[2], val_range[2];
};

static inline void fixture_init(struct fixture *f, uint32_t side)
{
    *f = (struct fixture){make_dir(),
                          NULL,
                          LT__V1__DATA__INIT,
                          LT__V1__SOURCE__INIT,
                          LT__V1__IDX__INIT,
                          LT__V1__SPLIT__INIT,
                          LT__V1__SPLIT__INIT,
                          LT__V1__SPLIT__INIT,
                          {0, 80},
                          {80, 100}};
    f->cache = lt_format("%s/cache", f->dir);
    f->idx.dir = f->dir;
    f->source.source_case = LT__V1__SOURCE__SOURCE_IDX;
    f->source.idx = &f->idx;
    f->data.source = &f->source;
    f->train.split = f->val.split = (char *)(uintptr_t) "train";
    f->test.split = (char *)(uintptr_t) "test";
    f->train.n_range = f->val.n_range = 2;
    f->train.range = f->train_range;
    f->val.range = f->val_range;
    f->data.train = &f->train;
    f->data.val = &f->val;
    f->data.test = &f->test;
    make_part(f->dir, "train", 100, side, 0);
    make_part(f->dir, "t10k", 20, side, 0);
}

static inline void fixture_done(struct fixture *f)
{
    lt_file_remove_tree(f->dir, NULL);
    lt_free(f->dir);
    lt_free(f->cache);
}

static inline struct lt_data *fixture_open(struct fixture *f)
{
    struct lt_problems problems = {0};
    struct lt_data *d = NULL;

    if (lt_data_open(&(struct lt_data_config){.plan = &f->data, .cache_dir = f->cache}, &d,
                     &problems) < 0)
        fprintf(stderr, "%s: %s\n", problems.items[0].path, problems.items[0].reason);
    assert_non_null(d);
    lt_problems_done(&problems);
    return d;
}

/* Opens and expects exactly one error, at `path`, with `text` inside. */
static inline void fixture_refuses(struct fixture *f, const char *path, const char *text)
{
    struct lt_problems problems = {0};
    struct lt_data *d = NULL;

    assert_int_equal(lt_data_open(&(struct lt_data_config){.plan = &f->data, .cache_dir = f->cache},
                                  &d, &problems),
                     -22);
    assert_null(d);
    assert_int_equal(problems.errors, 1);
    assert_string_equal(problems.items[0].path, path);
    if (!strstr(problems.items[0].reason, text))
        fail_msg("'%s' doesn't contain '%s'", problems.items[0].reason, text);
    lt_problems_done(&problems);
}

#endif
