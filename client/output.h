/* output.h - what a verb prints: rows for people, the same as JSON, JSON lines or YAML for programs
 *
 * A verb makes cJSON objects; columns choose what a table shows of them. JSON and YAML of a list
 * are
 * {"version": 1, NAME: [ … ]}, of one thing its object with "version": 1 in front; JSON lines are
 * the bare objects.
 */
#ifndef LT_CLIENT_OUTPUT_H
#define LT_CLIENT_OUTPUT_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

struct lt_buf;
struct lt_ctl;

#define LT_OUTPUT_VERSION 1

enum lt_output { LT_OUTPUT_TABLE, LT_OUTPUT_JSON, LT_OUTPUT_JSONL, LT_OUTPUT_YAML, LT_OUTPUT_N };
enum lt_output lt_ctl_output(const struct lt_ctl *ctl); /* -o; table without it */

enum lt_column_kind {
    LT_COLUMN_TEXT,
    LT_COLUMN_BYTES,
    LT_COLUMN_NUMBER,
    LT_COLUMN_REAL, /* shown with six digits */
    LT_COLUMN_AGE /* nanoseconds since 1970 */
};
struct lt_column {
    const char *title;
    const char *key;
    enum lt_column_kind kind;
};

/* All take over the object or array. */
void lt_output_list(const struct lt_ctl *ctl, const char *name, cJSON *array,
                    const struct lt_column *columns, size_t n);
void lt_output_object(const struct lt_ctl *ctl, cJSON *object);
void lt_output_line(cJSON *object); /* one line of JSON, flushed */
void lt_output_yaml(const cJSON *value, int indent, struct lt_buf *out);
void lt_output_table(const cJSON *array, const struct lt_column *columns, size_t n,
                     struct lt_buf *out);

/* Members that are exact: shortest double that reads back, whole 64-bit numbers; NaN and infinities
 * as strings. */
void lt_json_double(cJSON *object, const char *key, double v);
void lt_json_u64(cJSON *object, const char *key, uint64_t v);
void lt_json_text(cJSON *object, const char *key, const char *v);    /* NULL: null */
void lt_json_time(cJSON *object, const char *key, uint64_t wall_ns); /* RFC 3339; 0: null */

#endif
