/* fuzz_plan_wire.c - any bytes as a JobSpec from the wire: bounded, and valid ones encode to what they were */
#include <assert.h>
#include <stdint.h>
#include <string.h>
#include "base/arena.h"
#include "base/buf.h"
#include "base/problem.h"
#include "proto/plan.h"
#include "proto/wire.h"

#define ARENA (64u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    LT_AUTO(lt_arena_free) struct lt_arena *arena = lt_arena_new(ARENA);
    struct lt_problems problems = {0};
    LT_BUF_AUTO first = {0};
    LT_BUF_AUTO second = {0};
    ProtobufCMessage *m, *again;
    int rc;

    if (lt_wire_decode(&lt__v1__job_spec__descriptor, data, size, arena, &m, NULL) < 0)
        return 0;
    lt_plan_validate((const Lt__V1__JobSpec *)m, &problems);
    lt_plan_canonical(m, &first);
    if (problems.errors == 0) {
        rc = lt_wire_decode(&lt__v1__job_spec__descriptor, first.data ? first.data : "", first.len, arena, &again,
                            NULL);
        assert(rc == 0);
        lt_plan_canonical(again, &second);
        assert(first.len == second.len);
        assert(first.len == 0 || memcmp(first.data, second.data, first.len) == 0);
    }
    lt_problems_done(&problems);
    return 0;
}
