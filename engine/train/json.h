/* json.h - exact numbers in trainer.json: floats as hexadecimal strings, whole numbers beyond 2^53
 * as strings */
#ifndef LT_TRAIN_JSON_H
#define LT_TRAIN_JSON_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

void lt_json_add_double(cJSON *object, const char *key, double v); /* "0x1.8p+1", "nan", "inf" */
void lt_json_add_u64(cJSON *object, const char *key, uint64_t v);
/* false: absent or of another kind; *out is untouched. */
bool lt_json_double(const cJSON *object, const char *key, double *out);
bool lt_json_u64(const cJSON *object, const char *key, uint64_t *out);
const char *lt_json_string(const cJSON *object, const char *key); /* NULL */

#endif
