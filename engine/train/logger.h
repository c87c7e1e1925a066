/* logger.h - where records go: metrics.csv, TensorBoard event files
 *
 * A logger is one file engine/train/loggers/NAME.c and one word in the list. Its state (byte
 * offsets) is part of every checkpoint: opened with that state, what was written after it is cut
 * off, so that no step appears twice.
 */
#ifndef LT_TRAIN_LOGGER_H
#define LT_TRAIN_LOGGER_H

#include <stdbool.h>
#include <stdint.h>
#include "lt/v1/plan.pb-c.h"

struct cJSON;
struct lt_error;

struct lt_record_value {
    const char *name;
    double value;
};
struct lt_record {
    uint64_t x, epoch; /* the loggers' axis: 0-based index of the update (docs/trainer.md) */
    const struct lt_record_value *values;
    int n;
};

struct lt_logger_config {
    const char *run_dir;
    const char *const
        *columns; /* every name that will ever be logged, sorted, without epoch and step */
    int n_columns;
    uint32_t attempt;
    const struct cJSON *state; /* from a checkpoint of this run; NULL: begin anew */
};

struct lt_logger {
    const char *name; /* as in the plan */
    Lt__V1__Logger__LoggerCase which;
    int (*open)(const struct lt_logger_config *c, void **out, struct lt_error *err);
    int (*write)(void *self, const struct lt_record *r, struct lt_error *err);
    struct cJSON *(*state)(void *self); /* the caller's; everything written so far is covered */
    int (*sync)(void *self, struct lt_error *err); /* durable; may be called by another thread */
    void (*close)(void *self);
};

const struct lt_logger *lt_logger_find(Lt__V1__Logger__LoggerCase which); /* NULL */

#endif
