/* run_plan.c - lt-run-plan FILE: trains every case of a file of cases and prints losses and final
 * tensors in the same format
 *
 * LT_BACKEND: cpu (when not set) or ref. What live.py compares with PyTorch.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "engine/device.h"
#include "engine/session/session.h"
#include "tests/golden/play.h"

static void print_tensor(const char *prefix, const char *name, enum lt_dtype dtype,
                         const int64_t *dim, int ndim, const void *data, size_t bytes)
{
    const unsigned char *p = data;

    printf("tensor %s%s %s ", prefix, name, lt_dtype_names[dtype]);
    for (int i = 0; i < ndim; i++)
        printf("%s%lld", i ? "x" : "", (long long)dim[i]);
    printf("%s ", ndim ? "" : "-");
    for (size_t i = 0; i < bytes; i++)
        printf("%02x", p[i]);
    putchar('\n');
}

static int print_case(const struct golden_case *c, struct play *p, struct lt_error *err)
{
    int64_t steps = p->steps, one = 1;
    int rc = 0;

    printf("case %s\n", c->name);
    print_tensor("", "loss", LT_F64, &steps, 1, p->loss, (size_t)steps * sizeof *p->loss);
    print_tensor("", "eval", LT_F64, &one, 1, &p->eval, sizeof p->eval);
    for (int i = 0; !rc && i < lt_session_n_tensors(p->session); i++) {
        const struct lt_tensor_info *t = lt_session_tensor(p->session, i);
        void *data = lt_malloc(t->bytes + 1);

        rc = lt_session_read(p->session, i, data, err);
        if (!rc && (t->kind == LT_VALUE_PARAM || t->kind == LT_VALUE_BUFFER))
            print_tensor("final/", t->name, t->dtype, t->dim, t->ndim, data, t->bytes);
        lt_free(data);
    }
    return rc;
}

int main(int argc, char **argv)
{
    const char *name = getenv("LT_BACKEND");
    const struct lt_backend *backend =
        name && !strcmp(name, "ref") ? &lt_backend_ref : &lt_backend_cpu;
    struct golden_file f;
    int rc = 0;

    if (argc != 2) {
        fprintf(stderr, "usage: lt-run-plan FILE\n");
        return 2;
    }
    golden_open(&f, argv[1]);
    for (int i = 0; !rc && i < f.n; i++) {
        struct lt_error err = {0};
        struct play p;

        rc = play_case(&f.cases[i], backend, &p, &err);
        rc = rc ? rc : print_case(&f.cases[i], &p, &err);
        if (rc)
            fprintf(stderr, "lt-run-plan: %s: %s\n", f.cases[i].name, err.text);
        play_done(&p);
    }
    golden_close(&f);
    return rc ? 1 : 0;
}
