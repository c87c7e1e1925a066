/* tfevents.h - TensorBoard's event records
 *
 * A file is a sequence of TFRecords: u64 length, masked crc32c of it, the bytes, their masked
 * crc32c. The bytes are a tensorflow.Event: wall_time = 1 (double), step = 2, file_version = 3,
 * summary = 5 {value = 1 {tag = 1, simple_value = 2 (float)}}, session_log = 7 {status = 1}. Few
 * enough fields to be written by hand.
 */
#ifndef LT_TRAIN_TFEVENTS_H
#define LT_TRAIN_TFEVENTS_H

#include <stdint.h>

struct lt_buf;

void lt_tfevents_version(double wall_time,
                         struct lt_buf *out); /* the first record of a file: brain.Event:2 */
/* Readers drop what older files have from `step` on. */
void lt_tfevents_purge(double wall_time, int64_t step, struct lt_buf *out);
void lt_tfevents_scalar(double wall_time, int64_t step, const char *tag, float value,
                        struct lt_buf *out);

#endif
