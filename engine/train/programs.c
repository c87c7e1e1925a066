/* programs.c - look-up of inputs and outputs, once per program */
#include "engine/train/programs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"

static int bind_outputs(struct lt_bound *b, struct lt_session *s, const struct lt_metrics *m,
                        struct lt_error *err)
{
    for (int i = 0; i < m->n; i++) {
        b->sum_out[i] = lt_session_output(s, b->kind, m->q[i].out_sum);
        b->weight_out[i] = lt_session_output(s, b->kind, m->q[i].out_weight);
        if (b->sum_out[i] < 0 || b->weight_out[i] < 0)
            return lt_error_set(err, -EINVAL, "the model's program has no output %s",
                                m->q[i].out_sum);
    }
    b->skipped_out = lt_session_output(s, b->kind, "update.skipped");
    b->norm_out = lt_session_output(s, b->kind, "grad_norm");
    b->exchange_out = lt_session_output(s, b->kind, "exchange");
    return 0;
}

static int slice_output(struct lt_bound *b, struct lt_session *s, const char *name, int slice)
{
    char text[160];

    snprintf(text, sizeof text, "%s@%d", name, slice);
    return lt_session_output(s, b->kind, slice ? text : name);
}

static int bind_slices(struct lt_bound *b, struct lt_session *s, const struct lt_metrics *m,
                       int slices, struct lt_error *err)
{
    b->slice_out = lt_calloc((size_t)(slices * m->n * 2), sizeof *b->slice_out);
    for (int i = 0; i < slices * m->n; i++) {
        const struct lt_quantity *q = &m->q[i % m->n];

        b->slice_out[2 * i] = slice_output(b, s, q->out_sum, i / m->n);
        b->slice_out[2 * i + 1] = slice_output(b, s, q->out_weight, i / m->n);
        if (b->slice_out[2 * i] < 0 || b->slice_out[2 * i + 1] < 0)
            return lt_error_set(err, -EINVAL, "the model's program has no output %s of slice %d",
                                q->out_sum, i / m->n);
    }
    return 0;
}

int lt_bound_init(struct lt_bound *b, struct lt_session *s, enum lt_program_kind kind,
                  enum lt_split_kind split, const struct lt_data *data, const struct lt_metrics *m,
                  int slices, struct lt_error *err)
{
    int rc;

    *b = (struct lt_bound){.kind = kind, .data = data, .split = split};
    b->in = lt_calloc((size_t)lt_session_n_inputs(s, kind) + 1, sizeof *b->in);
    b->n_fields = lt_data_n_fields(data);
    for (int f = 0; f < b->n_fields; f++)
        b->field_at[f] = lt_session_input(s, kind, lt_data_field(data, f)->name);
    b->weight_at = lt_session_input(s, kind, "weight");
    b->sample_at = lt_session_input(s, kind, "sample_index");
    b->rng_at = lt_session_input(s, kind, "rng_step");
    b->lr_at = lt_session_input(s, kind, "lr");
    b->opt_at = lt_session_input(s, kind, "opt_step");
    b->exchange_at = lt_session_input(s, kind, "exchange");
    rc = m ? bind_outputs(b, s, m, err) : 0;
    return rc == 0 && m && kind == LT_PROGRAM_MICRO ? bind_slices(b, s, m, slices, err) : rc;
}

void lt_bound_done(struct lt_bound *b)
{
    lt_free(b->in);
    lt_free(b->slice_out);
    b->in = NULL;
    b->slice_out = NULL;
}

static void set(struct lt_bound *b, int at, const void *p)
{
    if (at >= 0)
        b->in[at] = p;
}

/* Kernels know positions in the batch; people want to know which sample of which file. */
static int name_sample(const struct lt_bound *b, const struct lt_batch *batch, int rc,
                       struct lt_error *err)
{
    const char *at = err ? strstr(err->text, "sample ") : NULL;
    long long i = at ? strtoll(at + strlen("sample "), NULL, 10) : -1;
    LT_BUF_AUTO where = {0};

    if (rc != -EDOM || i < 0 || i >= batch->n)
        return rc;
    lt_data_describe(b->data, b->split, batch->sample_index[i], &where);
    return lt_error_prefix(err, "%s", where.data);
}

int lt_bound_run(struct lt_bound *b, struct lt_session *s, const struct lt_batch *batch,
                 const struct lt_step_inputs *in, struct lt_error *err)
{
    for (int f = 0; f < b->n_fields; f++)
        set(b, b->field_at[f], batch->field[f]);
    set(b, b->weight_at, batch->weight);
    set(b, b->sample_at, batch->sample_index);
    set(b, b->rng_at, &in->rng_step);
    set(b, b->lr_at, &in->lr);
    set(b, b->opt_at, &in->opt_step);
    set(b, b->exchange_at, in->exchange);
    return name_sample(b, batch, lt_session_run(s, b->kind, batch->n, b->in, err), err);
}
