/* fuzz_pmi.c - any bytes as what a rank, an agent and a shim send: bounded, and what is read is what was printed */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "daemon/node/pmi_group.h"
#include "engine/worker/shim_pmi.h"
#include "sys/pmi.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_emit(void *user, uint32_t rank, const struct lt_pmi_msg *m)
{
    (void)user;
    assert(rank < 3 && m->rank == rank);
}

static void as_lines(const char *text, size_t size)
{
    LT_AUTO(lt_pmi_group_free)
    struct lt_pmi_group *g = lt_pmi_group_new("j", 1, 1, 3, on_emit, NULL);
    LT_AUTO(lt_free) char *copy = lt_strndup(text, size);
    char *save = NULL;

    for (char *l = strtok_r(copy, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
        LT_BUF_AUTO once = {0};
        LT_BUF_AUTO twice = {0};
        struct lt_pmi_msg m, again;

        if (lt_pmi_parse(l, &m, NULL) < 0)
            continue;
        lt_pmi_print(&m, &once);
        lt_pmi_group_take(g, &m, NULL);
        once.data[once.len - 1] = 0;
        if (lt_pmi_parse(once.data, &again, NULL) < 0)
            assert(0);
        lt_pmi_print(&again, &twice);
        assert(again.kind == m.kind && again.seq == m.seq && again.rank == m.rank);
    }
}

static void as_rank_and_agent(const char *text, size_t size)
{
    LT_AUTO(lt_shim_pmi_free)
    struct lt_shim_pmi *p = lt_shim_pmi_new(
        &(struct lt_shim_pmi_config){.job = "j", .attempt = 1, .generation = 1, .rank = 1, .world = 3});
    size_t half = size / 2;

    lt_shim_pmi_connected(p);
    while (half > 0 && lt_shim_pmi_room(p) > 0) {
        size_t n = LT_MIN(half, lt_shim_pmi_room(p));

        if (!lt_shim_pmi_from_rank(p, text, n))
            break;
        text += n;
        half -= n;
    }
    lt_shim_pmi_from_agent(p, text, size / 2);
    assert(lt_shim_pmi_to_rank(p)->len < 64 * (size + 64));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);

    memcpy(text, data, size);
    text[size] = 0;
    as_lines(text, size);
    as_rank_and_agent(text, size);
    free(text);
    return 0;
}
