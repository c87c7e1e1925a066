/* output.c - tables, JSON, JSON lines, YAML */
#include "client/output.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "client/ctl.h"
#include "sys/clock.h"

static const char *const names[LT_OUTPUT_N] = {"table", "json", "jsonl", "yaml"};

enum lt_output lt_ctl_output(const struct lt_ctl *ctl)
{
    const char *asked = lt_ctl_string(ctl, "output");

    for (int i = 0; asked && i < LT_OUTPUT_N; i++) {
        if (strcmp(names[i], asked) == 0)
            return (enum lt_output)i;
    }
    return LT_OUTPUT_TABLE;
}

/* ---- values */

void lt_json_double(cJSON *object, const char *key, double v)
{
    char text[40];

    lt_print_double(text, sizeof text, v);
    if (isfinite(v))
        cJSON_AddRawToObject(object, key, text);
    else
        cJSON_AddStringToObject(object, key, text);
}

void lt_json_u64(cJSON *object, const char *key, uint64_t v)
{
    char text[24];

    snprintf(text, sizeof text, "%llu", (unsigned long long)v);
    cJSON_AddRawToObject(object, key, text);
}

void lt_json_text(cJSON *object, const char *key, const char *v)
{
    if (v)
        cJSON_AddStringToObject(object, key, v);
    else
        cJSON_AddNullToObject(object, key);
}

void lt_json_time(cJSON *object, const char *key, uint64_t wall_ns)
{
    char text[32];

    if (wall_ns)
        lt_clock_format(wall_ns, text);
    lt_json_text(object, key, wall_ns ? text : NULL);
}

/* ---- YAML, from the JSON: block style, strings quoted as JSON does where that is needed */

static bool is_plain(const char *s)
{
    static const char *const words[] = {"true", "false", "null", "yes", "no",
                                        "on",   "off",   "y",    "n",   "~"};
    double d;

    for (size_t i = 0; i < LT_ARRAY_LEN(words); i++) {
        if (strcasecmp(s, words[i]) == 0)
            return false;
    }
    if (!s[0] || lt_parse_double(s, &d) == 0 || strstr(s, ": ") || strstr(s, " #") ||
        s[strlen(s) - 1] == ':')
        return false;
    for (const char *p = s; *p; p++) {
        if ((unsigned char)*p < ' ' || *p == 127)
            return false;
    }
    return !strchr("-?:,[]{}#&*!|>'\"%@` ", s[0]) && s[strlen(s) - 1] != ' ';
}

static void yaml_scalar(const cJSON *v, struct lt_buf *out)
{
    char *text;

    if (cJSON_IsString(v) && is_plain(v->valuestring)) {
        lt_buf_str(out, v->valuestring);
        return;
    }
    text = cJSON_PrintUnformatted(v);
    lt_buf_str(out, text);
    cJSON_free(text);
}

static bool is_block(const cJSON *v)
{
    return (cJSON_IsObject(v) || cJSON_IsArray(v)) && v->child;
}

/* The first line continues what stands there already. */
void lt_output_yaml(const cJSON *v, int indent, struct lt_buf *out)
{
    bool first = true;

    if (!is_block(v)) {
        yaml_scalar(v, out);
        lt_buf_char(out, '\n');
        return;
    }
    for (const cJSON *c = v->child; c; c = c->next, first = false) {
        lt_buf_printf(out, "%*s", first ? 0 : indent, "");
        if (cJSON_IsArray(v)) {
            lt_buf_str(out, "- ");
            lt_output_yaml(c, indent + 2, out);
        } else if (is_block(c)) {
            lt_buf_printf(out, "%s:\n%*s", c->string, indent + 2, "");
            lt_output_yaml(c, indent + 2, out);
        } else {
            lt_buf_printf(out, "%s: ", c->string);
            lt_output_yaml(c, 0, out);
        }
    }
}

/* ---- JSON for people: two spaces a level */

static void json_key(const char *name, struct lt_buf *out)
{
    cJSON *s = cJSON_CreateStringReference(name);
    char *text = cJSON_PrintUnformatted(s);

    lt_buf_printf(out, "%s: ", text);
    cJSON_free(text);
    cJSON_Delete(s);
}

static void json_pretty(const cJSON *v, int indent, struct lt_buf *out)
{
    bool object = cJSON_IsObject(v);

    if (!is_block(v)) {
        char *text = cJSON_PrintUnformatted(v);

        lt_buf_str(out, text);
        cJSON_free(text);
        return;
    }
    lt_buf_str(out, object ? "{\n" : "[\n");
    for (const cJSON *c = v->child; c; c = c->next) {
        lt_buf_printf(out, "%*s", indent + 2, "");
        if (object)
            json_key(c->string, out);
        json_pretty(c, indent + 2, out);
        lt_buf_str(out, c->next ? ",\n" : "\n");
    }
    lt_buf_printf(out, "%*s%c", indent, "", object ? '}' : ']');
}

/* ---- tables */

static void age(uint64_t wall_ns, struct lt_buf *out)
{
    uint64_t now = lt_clock_wall_ns();
    uint64_t s = now > wall_ns ? (now - wall_ns) / 1000000000ull : 0;

    if (s < 120)
        lt_buf_printf(out, "%llus", (unsigned long long)s);
    else if (s < 7200)
        lt_buf_printf(out, "%llum", (unsigned long long)(s / 60));
    else if (s < 172800)
        lt_buf_printf(out, "%lluh", (unsigned long long)(s / 3600));
    else
        lt_buf_printf(out, "%llud", (unsigned long long)(s / 86400));
}

static const char *number_text(const cJSON *v)
{
    return cJSON_IsRaw(v) && v->valuestring ? v->valuestring : "0";
}

static char *cell(const cJSON *row, const struct lt_column *c)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(row, c->key);
    LT_BUF_AUTO out = {0};
    char size[32];

    if (!v || cJSON_IsNull(v) || (cJSON_IsString(v) && !v->valuestring[0])) {
        lt_buf_char(&out, '-');
    } else if (c->kind == LT_COLUMN_BYTES) {
        lt_print_size(size, sizeof size, strtoull(number_text(v), NULL, 10));
        lt_buf_str(&out, size);
    } else if (c->kind == LT_COLUMN_REAL && cJSON_IsRaw(v)) {
        lt_buf_printf(&out, "%.6g", strtod(number_text(v), NULL));
    } else if (c->kind == LT_COLUMN_AGE) {
        age(strtoull(number_text(v), NULL, 10), &out);
    } else if (cJSON_IsString(v)) {
        lt_buf_str(&out, v->valuestring);
    } else {
        yaml_scalar(v, &out);
    }
    return lt_buf_take(&out);
}

/* Characters, not bytes. */
static size_t width(const char *s)
{
    size_t n = 0;

    for (; *s; s++)
        n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

static void pad(struct lt_buf *out, const char *text, size_t to, bool right, bool last)
{
    size_t n = width(text), spaces = to > n ? to - n : 0;

    if (right)
        lt_buf_printf(out, "%*s%s", (int)spaces, "", text);
    else
        lt_buf_printf(out, "%s%*s", text, last ? 0 : (int)spaces, "");
    if (!last)
        lt_buf_str(out, "  ");
}

static void end_line(struct lt_buf *out)
{
    while (out->len && out->data[out->len - 1] == ' ')
        out->len--;
    lt_buf_char(out, '\n');
}

void lt_output_table(const cJSON *array, const struct lt_column *columns, size_t n,
                     struct lt_buf *out)
{
    size_t rows = (size_t)cJSON_GetArraySize(array), r = 1;
    char **cells = lt_calloc((rows + 1) * n, sizeof *cells);
    size_t *widths = lt_calloc(n, sizeof *widths);

    for (size_t c = 0; c < n; c++)
        cells[c] = lt_strdup(columns[c].title);
    for (const cJSON *row = array->child; row; row = row->next, r++) {
        for (size_t c = 0; c < n; c++)
            cells[r * n + c] = cell(row, &columns[c]);
    }
    for (size_t i = 0; i < (rows + 1) * n; i++)
        widths[i % n] = LT_MAX(widths[i % n], width(cells[i]));
    for (size_t i = 0; i < (rows + 1) * n; i++) {
        const struct lt_column *c = &columns[i % n];
        bool last = i % n == n - 1;

        pad(out, cells[i], widths[i % n], c->kind == LT_COLUMN_NUMBER || c->kind == LT_COLUMN_BYTES,
            last);
        if (last)
            end_line(out);
        lt_free(cells[i]);
    }
    lt_free(cells);
    lt_free(widths);
}

/* ---- whole outputs */

static void put(const char *text)
{
    fputs(text, stdout);
    fflush(stdout);
}

void lt_output_line(cJSON *object)
{
    char *text = cJSON_PrintUnformatted(object);

    put(text);
    put("\n");
    cJSON_free(text);
    cJSON_Delete(object);
}

/* Takes over value. */
static void put_document(enum lt_output form, cJSON *value)
{
    LT_BUF_AUTO out = {0};

    if (form == LT_OUTPUT_JSON) {
        json_pretty(value, 0, &out);
        lt_buf_char(&out, '\n');
    } else {
        lt_output_yaml(value, 0, &out);
    }
    put(out.data);
    cJSON_Delete(value);
}

static cJSON *versioned(void)
{
    cJSON *top = cJSON_CreateObject();

    cJSON_AddNumberToObject(top, "version", LT_OUTPUT_VERSION);
    return top;
}

void lt_output_list(const struct lt_ctl *ctl, const char *name, cJSON *array,
                    const struct lt_column *columns, size_t n)
{
    enum lt_output form = lt_ctl_output(ctl);
    LT_BUF_AUTO table = {0};
    cJSON *top;

    switch (form) {
    case LT_OUTPUT_TABLE:
        lt_output_table(array, columns, n, &table);
        put(table.data);
        cJSON_Delete(array);
        return;
    case LT_OUTPUT_JSONL:
        while (array->child)
            lt_output_line(cJSON_DetachItemViaPointer(array, array->child));
        cJSON_Delete(array);
        return;
    default:
        top = versioned();
        cJSON_AddItemToObject(top, name, array);
        put_document(form, top);
    }
}

void lt_output_object(const struct lt_ctl *ctl, cJSON *object)
{
    enum lt_output form = lt_ctl_output(ctl);
    cJSON *top;

    if (form == LT_OUTPUT_JSONL) {
        lt_output_line(object);
        return;
    }
    top = versioned();
    while (object->child) {
        cJSON *c = cJSON_DetachItemViaPointer(object, object->child);

        cJSON_AddItemToObject(top, c->string, c);
    }
    cJSON_Delete(object);
    put_document(form, top);
}
