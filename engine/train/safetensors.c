/* safetensors.c - the format's only reader and writer */
#include "engine/train/safetensors.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"

static const char *const names[LT_DTYPE_N] = {
    [LT_F32] = "F32", [LT_F64] = "F64", [LT_BF16] = "BF16", [LT_F16] = "F16",
    [LT_I32] = "I32", [LT_I64] = "I64", [LT_U8] = "U8",     [LT_BOOL] = "BOOL",
};

struct lt_safetensors {
    const void *map; /* NULL: the memory is borrowed */
    size_t map_bytes;
    cJSON *json; /* owns the names */
    struct lt_tensor *tensors;
    int n;
};

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct lt_tensor *)a)->name, ((const struct lt_tensor *)b)->name);
}

void lt_tensors_sort(struct lt_tensor *t, int n)
{
    if (n > 1)
        qsort(t, (size_t)n, sizeof *t, by_name);
}

static void json_string(struct lt_buf *out, const char *s)
{
    lt_buf_char(out, '"');
    for (; *s; s++) {
        if (*s == '"' || *s == '\\')
            lt_buf_char(out, '\\');
        if ((unsigned char)*s < 0x20)
            lt_buf_printf(out, "\\u%04x", *s);
        else
            lt_buf_char(out, *s);
    }
    lt_buf_char(out, '"');
}

void lt_safetensors_header(const struct lt_tensor *t, int n, struct lt_buf *out)
{
    LT_BUF_AUTO json = {0};
    size_t at = 0;

    lt_buf_str(&json, "{\"__metadata__\":{\"format\":\"pt\"}");
    for (int i = 0; i < n; i++) {
        lt_buf_char(&json, ',');
        json_string(&json, t[i].name);
        lt_buf_printf(&json, ":{\"dtype\":\"%s\",\"shape\":[", names[t[i].dtype]);
        for (int d = 0; d < t[i].ndim; d++)
            lt_buf_printf(&json, "%s%" PRId64, d ? "," : "", t[i].dim[d]);
        lt_buf_printf(&json, "],\"data_offsets\":[%zu,%zu]}", at, at + t[i].bytes);
        at += t[i].bytes;
    }
    lt_buf_char(&json, '}');
    while (json.len % 8)
        lt_buf_char(&json, ' ');
    lt_buf_u64(out, json.len);
    lt_buf_append(out, json.data, json.len);
}

static bool whole_number(const cJSON *item, double max, int64_t *out)
{
    if (!cJSON_IsNumber(item) || item->valuedouble < 0 || item->valuedouble > max ||
        item->valuedouble != floor(item->valuedouble))
        return false;
    *out = (int64_t)item->valuedouble;
    return true;
}

/* Whole numbers are exact in a double up to 2^53, more than any file here. */
#define NUMBER_MAX 9007199254740992.0

static bool parse_dtype(const cJSON *item, enum lt_dtype *out)
{
    for (int d = 0; cJSON_IsString(item) && d < LT_DTYPE_N; d++)
        if (!strcmp(item->valuestring, names[d])) {
            *out = (enum lt_dtype)d;
            return true;
        }
    return false;
}

static bool parse_shape(const cJSON *item, struct lt_tensor *t)
{
    size_t bytes = lt_dtype_sizes[t->dtype];
    const cJSON *dim;

    if (!cJSON_IsArray(item) || cJSON_GetArraySize(item) > LT_DIMS_MAX)
        return false;
    cJSON_ArrayForEach(dim, item)
    {
        if (!whole_number(dim, NUMBER_MAX, &t->dim[t->ndim]) ||
            __builtin_mul_overflow(bytes, (size_t)t->dim[t->ndim], &bytes))
            return false;
        t->ndim++;
    }
    t->bytes = bytes;
    return true;
}

static int parse_tensor(const cJSON *item, const char *data, size_t n, const char *path,
                        struct lt_tensor *t, struct lt_error *err)
{
    const cJSON *offsets = cJSON_GetObjectItemCaseSensitive(item, "data_offsets");
    int64_t from, to;

    t->name = item->string;
    if (!parse_dtype(cJSON_GetObjectItemCaseSensitive(item, "dtype"), &t->dtype))
        return lt_error_set(err, -EPROTO, "%s: tensor %s: unknown dtype", path, t->name);
    if (!parse_shape(cJSON_GetObjectItemCaseSensitive(item, "shape"), t))
        return lt_error_set(err, -EPROTO, "%s: tensor %s: bad shape", path, t->name);
    if (cJSON_GetArraySize(offsets) != 2 ||
        !whole_number(cJSON_GetArrayItem(offsets, 0), NUMBER_MAX, &from) ||
        !whole_number(cJSON_GetArrayItem(offsets, 1), NUMBER_MAX, &to) || from > to ||
        (uint64_t)to > n || (size_t)(to - from) != t->bytes)
        return lt_error_set(err, -EPROTO, "%s: tensor %s: offsets don't fit its shape or the file",
                            path, t->name);
    t->data = data + from;
    return 0;
}

static int parse_tensors(struct lt_safetensors *s, const char *data, size_t n, const char *path,
                         struct lt_error *err)
{
    const cJSON *item;
    size_t total = 0;

    s->tensors = lt_calloc((size_t)cJSON_GetArraySize(s->json) + 1, sizeof *s->tensors);
    cJSON_ArrayForEach(item, s->json)
    {
        if (!strcmp(item->string, "__metadata__"))
            continue;
        int rc = parse_tensor(item, data, n, path, &s->tensors[s->n], err);
        if (rc < 0)
            return rc;
        total += s->tensors[s->n++].bytes;
    }
    if (total != n)
        return lt_error_set(err, -EPROTO, "%s: %zu bytes of tensors, the header describes %zu",
                            path, n, total);
    return 0;
}

static int by_place(const void *a, const void *b)
{
    const struct lt_tensor *s = a, *t = b;

    if (s->data != t->data)
        return (const char *)s->data < (const char *)t->data ? -1 : 1;
    return s->bytes < t->bytes ? -1 : s->bytes > t->bytes;
}

/* No gap, no overlap: with the sum of the sizes right, each has to begin where the one before it
 * ends. */
static int check_places(const struct lt_safetensors *s, const char *path, struct lt_error *err)
{
    struct lt_tensor *sorted = lt_malloc(((size_t)s->n + 1) * sizeof *sorted);
    int rc = 0;

    memcpy(sorted, s->tensors, (size_t)s->n * sizeof *sorted);
    if (s->n > 1)
        qsort(sorted, (size_t)s->n, sizeof *sorted, by_place);
    for (int i = 1; i < s->n && rc == 0; i++)
        if ((const char *)sorted[i].data != (const char *)sorted[i - 1].data + sorted[i - 1].bytes)
            rc = lt_error_set(err, -EPROTO, "%s: tensor %s doesn't begin where %s ends", path,
                              sorted[i].name, sorted[i - 1].name);
    lt_free(sorted);
    return rc;
}

/* Two entries of one name are refused: the second would be silently unused. */
static int check_names(const struct lt_safetensors *s, const char *path, struct lt_error *err)
{
    struct lt_tensor *sorted = lt_malloc(((size_t)s->n + 1) * sizeof *sorted);
    int rc = 0;

    memcpy(sorted, s->tensors, (size_t)s->n * sizeof *sorted);
    lt_tensors_sort(sorted, s->n);
    for (int i = 1; i < s->n && rc == 0; i++)
        if (!strcmp(sorted[i - 1].name, sorted[i].name))
            rc = lt_error_set(err, -EPROTO, "%s: tensor %s is there twice", path, sorted[i].name);
    lt_free(sorted);
    return rc;
}

int lt_safetensors_parse(const void *data, size_t n, const char *name, struct lt_safetensors **out,
                         struct lt_error *err)
{
    LT_AUTO(lt_safetensors_close) struct lt_safetensors *s = lt_calloc(1, sizeof *s);
    const char *p = data;
    uint64_t header = 0;
    int rc;

    if (n >= 8)
        for (int i = 7; i >= 0; i--)
            header = header << 8 | (unsigned char)p[i];
    if (n < 8 || header > n - 8 || header > LT_SAFETENSORS_HEADER_MAX)
        return lt_error_set(err, -EPROTO, "%s: not a safetensors file, or cut short", name);
    s->json = cJSON_ParseWithLength(p + 8, (size_t)header);
    if (!cJSON_IsObject(s->json))
        return lt_error_set(err, -EPROTO, "%s: its header is not a JSON object", name);
    rc = parse_tensors(s, p + 8 + header, n - 8 - (size_t)header, name, err);
    if (rc == 0)
        rc = check_places(s, name, err);
    if (rc == 0)
        rc = check_names(s, name, err);
    if (rc == 0)
        *out = LT_TAKE(s);
    return rc;
}

static int map(const char *path, const void **data, size_t *n, struct lt_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    void *p = MAP_FAILED;
    int rc = 0;

    if (fd < 0 || fstat(fd, &st) < 0)
        rc = -errno;
    else if (st.st_size == 0)
        rc = -EPROTO;
    else if ((p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0)) == MAP_FAILED)
        rc = -errno;
    if (fd >= 0)
        close(fd);
    if (rc < 0)
        return lt_error_set(err, rc, "%s: %s", path, rc == -EPROTO ? "empty" : strerror(-rc));
    *data = p;
    *n = (size_t)st.st_size;
    return 0;
}

int lt_safetensors_open(const char *path, struct lt_safetensors **out, struct lt_error *err)
{
    const void *data = NULL;
    size_t n = 0;
    int rc = map(path, &data, &n, err);

    if (rc < 0)
        return rc;
    rc = lt_safetensors_parse(data, n, path, out, err);
    if (rc < 0) {
        munmap((void *)(uintptr_t)data, n);
        return rc;
    }
    (*out)->map = data;
    (*out)->map_bytes = n;
    return 0;
}

void lt_safetensors_close(struct lt_safetensors *s)
{
    if (!s)
        return;
    if (s->map)
        munmap((void *)(uintptr_t)s->map, s->map_bytes);
    cJSON_Delete(s->json);
    lt_free(s->tensors);
    lt_free(s);
}

int lt_safetensors_count(const struct lt_safetensors *s)
{
    return s->n;
}

const struct lt_tensor *lt_safetensors_at(const struct lt_safetensors *s, int i)
{
    return &s->tensors[i];
}

const struct lt_tensor *lt_safetensors_find(const struct lt_safetensors *s, const char *name)
{
    for (int i = 0; i < s->n; i++)
        if (!strcmp(s->tensors[i].name, name))
            return &s->tensors[i];
    return NULL;
}
