/* encode.c - PLAN.yaml as the bytes of a JobSpec on stdout: where make_corpus.py begins */
#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/problem.h"
#include "proto/plan.h"
#include "proto/text/text.h"
#include "tests/support/tmp.h"

int main(int argc, char **argv)
{
    struct lt_arena *arena = lt_arena_new(64u << 20);
    struct lt_problems problems = {0};
    LT_BUF_AUTO bytes = {0};
    Lt__V1__JobSpec *spec;
    char *text;
    size_t n;

    if (argc != 2 || !(text = lt_test_read(argv[1], &n)))
        return 2;
    spec = lt_text_parse_spec(text, n, NULL, NULL, 0, arena, &problems);
    for (size_t i = 0; i < problems.len; i++)
        fprintf(stderr, "%s: %s\n", problems.items[i].path, problems.items[i].reason);
    if (spec)
        lt_plan_canonical(&spec->base, &bytes);
    free(text);
    lt_problems_done(&problems);
    lt_arena_free(arena);
    return spec && fwrite(bytes.data, 1, bytes.len, stdout) == bytes.len ? 0 : 1;
}
