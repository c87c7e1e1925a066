/* recording_files.h - metrics.csv and TensorBoard of a command; used by recording.c alone */
#ifndef LT_TRAIN_RECORDING_FILES_H
#define LT_TRAIN_RECORDING_FILES_H

#include <stdbool.h>
#include "lt/v1/agent.pb-c.h"

struct lt_error;
struct lt_record;
struct lt_recording_files;

/* start is borrowed. again: this attempt has written to them before. Nothing is opened yet. */
struct lt_recording_files *lt_recording_files_new(const Lt__V1__StartRank *start, bool again);
/* A logger that fails is closed and not tried again. Returns its -errno, with the reason in err. */
int lt_recording_files_write(struct lt_recording_files *f, const struct lt_record *r, struct lt_error *err);
int lt_recording_files_sync(struct lt_recording_files *f, struct lt_error *err);
void lt_recording_files_free(struct lt_recording_files *f);

#endif
