/* evaluate.h - runs an Evaluation */
#ifndef LT_TRAIN_EVALUATE_H
#define LT_TRAIN_EVALUATE_H

#include "engine/data/data.h"
#include "engine/graph/import.h"
#include "engine/train/metrics.h"
#include "engine/train/train.h"

/* What a mode reads and runs. */
struct lt_evaluation {
    enum lt_split_kind split;
    enum lt_program_kind program;
    enum lt_stage_kind stage;
};
struct lt_evaluation lt_evaluation_of(const Lt__V1__Evaluation *e);

/* Fills out's result and values, or returns -errno. Predictions: <run>/predictions.f32, float32 in
 * the data's order. */
int lt_evaluate(const struct lt_train_config *c, const Lt__V1__Evaluation *e,
                struct lt_train_result *out, struct lt_error *err);

#endif
