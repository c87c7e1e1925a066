/* fuzz_plan_text.c - any text as a plan file; what is accepted prints as a text that means the same */
#include <assert.h>
#include <stdint.h>
#include <string.h>
#include "base/arena.h"
#include "base/buf.h"
#include "base/problem.h"
#include "proto/plan.h"
#include "proto/text/text.h"

#define ARENA (64u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void comes_back(const Lt__V1__JobSpec *spec, int flags)
{
    LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(ARENA);
    LT_BUF_AUTO text = {0};
    LT_BUF_AUTO before = {0};
    LT_BUF_AUTO after = {0};
    struct lt_problems problems = {0};
    Lt__V1__JobSpec *again;

    lt_text_print_spec(spec, flags, &text);
    again = lt_text_parse_spec(text.data, text.len, NULL, NULL, 0, arena, &problems);
    assert(again);
    lt_plan_canonical(&spec->base, &before);
    lt_plan_canonical(&again->base, &after);
    assert(before.len == after.len && memcmp(before.data, after.data, before.len) == 0);
    lt_problems_done(&problems);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(ARENA);
    struct lt_problems problems = {0};
    Lt__V1__JobSpec *spec =
        lt_text_check_spec((const char *)data, size, "/base", NULL, 0, arena, &problems);

    assert(!!spec == (problems.errors == 0));
    for (size_t i = 0; i < problems.len; i++)
        assert(problems.items[i].reason[0]);
    lt_problems_done(&problems);
    if (spec) {
        comes_back(spec, 0);
        comes_back(spec, LT_TEXT_JSON);
    }
    return 0;
}
