/* csv_recast.h - a metrics.csv with other columns, and without what a later attempt wrote again */
#ifndef LT_TRAIN_CSV_RECAST_H
#define LT_TRAIN_CSV_RECAST_H

#include <stddef.h>
#include <stdint.h>

struct lt_error;

/* The names in the file's header but epoch and step, at most max. *n is their number (0: no file);
 * each is lt_free()d. */
int lt_csv_columns(const char *path, char **names, size_t max, size_t *n, struct lt_error *err);
/* Writes the file anew, whole or not at all: columns (sorted, without epoch and step) and those two, of
 * the rows before step `from` what they have. *bytes: its size. A file that isn't there becomes a header. */
int lt_csv_recast(const char *path, const char *const *columns, size_t n, uint64_t from, uint64_t *bytes,
                  struct lt_error *err);

#endif
