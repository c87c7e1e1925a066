/* submit.c - what a job has before the core knows it: an id, a place for its files */
#include <stdint.h>
#include <string.h>
#include <sys/random.h>
#include "base/buf.h"
#include "base/mem.h"
#include "daemon/coord/internal.h"
#include "proto/plan.h"
#include "sys/paths.h"
#include "sys/sha256.h"

#define ID_LEN 8 /* a letter, then letters and digits without those that look alike: 39 bits */
#define LETTERS 22

/* The core refuses one that is taken: once in 10^7 submissions with 10^5 jobs. */
static void make_id(char id[ID_LEN + 1])
{
    static const char digits[] = "abcdefghjkmnpqrstvwxyz0123456789";
    uint8_t random[ID_LEN];

    while (getrandom(random, sizeof random, 0) != sizeof random)
        ;
    for (int i = 0; i < ID_LEN; i++)
        id[i] = digits[random[i] % (i == 0 ? LETTERS : 32)];
    id[ID_LEN] = '\0';
}

void lt_coord_spec_hash(const Lt__V1__JobSpec *spec, char hash[65])
{
    LT_BUF_AUTO bytes = {0};

    lt_buf_u32(&bytes, LT_PLAN_SCHEMA_VERSION);
    lt_plan_canonical(&spec->base, &bytes);
    lt_sha256_hex_of(bytes.data, bytes.len, hash);
}

static char *run_dir(const struct lt_coord *c, const Lt__V1__JobSpec *spec, const char *id)
{
    const Lt__V1__TrainingPlan *plan =
        spec->kind_case == LT__V1__JOB_SPEC__KIND_PLAN ? spec->plan : NULL;
    const char *root = plan && plan->trainer ? plan->trainer->default_root_dir : NULL;

    return lt_path_join(root && root[0] ? root : c->runs_dir, id);
}

uint64_t lt_coord_submit(struct lt_coord *c, const struct lt_coord_submission *s,
                         lt_coord_reply_fn *fn, void *arg)
{
    struct lt_core_input in = {.kind = LT_IN_SUBMIT, .uid = s->uid};
    LT_AUTO(lt_free) char *dir = NULL;
    char id[ID_LEN + 1];

    make_id(id);
    dir = run_dir(c, s->spec, id);
    in.job = id;
    in.submit = (struct lt_submit){.request_id = s->request_id,
                                   .spec = s->spec,
                                   .spec_hash = s->spec_hash,
                                   .run_dir = dir,
                                   .parent = s->parent};
    return lt_coord_input(c, &in, fn, arg);
}
