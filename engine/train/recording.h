/* recording.h - a command's metrics: journal, metrics.csv, TensorBoard, early stopping
 *
 * Values that are given one behind the other for one step are one record. The journal gets it first:
 * it is the truth, and what a recording that is opened again goes on from (names, steps counted, what
 * early stopping has seen). The program that is recorded is never harmed: what can't be written is
 * counted and said once, in the log and as condition DEGRADED.
 *
 * The first record of an attempt says where it began: rows of earlier attempts from that step on leave
 * metrics.csv, and TensorBoard is told to forget them.
 */
#ifndef LT_TRAIN_RECORDING_H
#define LT_TRAIN_RECORDING_H

#include <stdbool.h>
#include <stdint.h>
#include "base/auto.h"
#include "lt/v1/agent.pb-c.h"

struct lt_error;
struct lt_journal;
struct lt_metric_value;
struct lt_page;
struct lt_recording;

#define LT_RECORDING_NAMES_MAX 256

struct lt_recording_config {
    const Lt__V1__StartRank *start; /* of a command; borrowed */
    const char *journal_path;
    struct lt_page *page; /* NULL: none */
};

/* Reads what the journal already holds. *out is the caller's, to lt_recording_close(). */
int lt_recording_open(const struct lt_recording_config *c, struct lt_recording **out, struct lt_error *err);
/* A value without a step gets the number of values of that name before it. `epoch` says to which epoch
 * the values behind it belong. */
void lt_recording_add(struct lt_recording *r, const struct lt_metric_value *v);
bool lt_recording_pending(const struct lt_recording *r); /* a record waits for more of its step */
void lt_recording_flush(struct lt_recording *r);
void lt_recording_finish(struct lt_recording *r); /* flushes, makes durable, says what was left out */
void lt_recording_close(struct lt_recording *r);  /* NULL is fine */
LT_DEFINE_AUTO(struct lt_recording *, lt_recording_close)

#endif
