/* json.c - exact numbers through JSON */
#include "engine/train/json.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "base/str.h"

#define EXACT 9007199254740992.0 /* 2^53 */

void lt_json_add_double(cJSON *object, const char *key, double v)
{
    char text[64];

    lt_print_hex_double(text, sizeof text, v);
    cJSON_AddStringToObject(object, key, text);
}

void lt_json_add_u64(cJSON *object, const char *key, uint64_t v)
{
    char text[32];

    if ((double)v < EXACT) {
        cJSON_AddNumberToObject(object, key, (double)v);
        return;
    }
    snprintf(text, sizeof text, "%" PRIu64, v);
    cJSON_AddStringToObject(object, key, text);
}

bool lt_json_double(const cJSON *object, const char *key, double *out)
{
    const char *text = lt_json_string(object, key);

    return text && lt_parse_double(text, out) == 0;
}

bool lt_json_u64(const cJSON *object, const char *key, uint64_t *out)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);

    if (cJSON_IsString(item))
        return lt_parse_u64(item->valuestring, out) == 0;
    if (!cJSON_IsNumber(item) || item->valuedouble < 0 || item->valuedouble >= EXACT ||
        item->valuedouble != floor(item->valuedouble))
        return false;
    *out = (uint64_t)item->valuedouble;
    return true;
}

const char *lt_json_string(const cJSON *object, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);

    return cJSON_IsString(item) ? item->valuestring : NULL;
}
