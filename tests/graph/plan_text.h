/* plan_text.h - plans written in a test */
#ifndef LT_TESTS_GRAPH_PLAN_TEXT_H
#define LT_TESTS_GRAPH_PLAN_TEXT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/problem.h"
#include "engine/graph/import.h"
#include "proto/text/text.h"

/* What the idx source gives of MNIST. */
static const struct lt_field mnist_fields[] = {
    {"image", LT_F32, 3, {1, 28, 28}, 0},
    {"label", LT_I64, 0, {0}, 10},
};

/* Owned by the arena. */
static inline const Lt__V1__TrainingPlan *plan_parse(struct lt_arena *arena, const char *text)
{
    struct lt_problems problems = {0};
    Lt__V1__JobSpec *spec = lt_text_parse_spec(text, strlen(text), NULL, NULL, 0, arena, &problems);

    if (!spec)
        fail_msg("line %d: %s: %s", problems.items[0].line, problems.items[0].path,
                 problems.items[0].reason);
    lt_problems_done(&problems);
    return spec->plan;
}

static inline void problems_print(const struct lt_problems *p, struct lt_buf *out)
{
    for (size_t i = 0; i < p->len; i++)
        lt_buf_printf(out, "%s: %s; %s\n", p->items[i].path, p->items[i].reason,
                      p->items[i].remedy ? p->items[i].remedy : "");
}

#endif
