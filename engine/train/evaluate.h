/* evaluate.h - runs an Evaluation */
#ifndef LT_TRAIN_EVALUATE_H
#define LT_TRAIN_EVALUATE_H

#include "engine/train/train.h"

/* Fills out's result and values, or returns -errno. Predictions: <run>/predictions.f32, float32 in
 * the data's order. */
int lt_evaluate(const struct lt_train_config *c, const Lt__V1__Evaluation *e,
                struct lt_train_result *out, struct lt_error *err);

#endif
