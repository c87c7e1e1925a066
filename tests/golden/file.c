/* file.c - see file.h */
#include "tests/golden/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static void die(const char *what, const char *about)
{
    fprintf(stderr, "golden values: %s: %s\n", what, about);
    exit(2);
}

static char *read_all(const char *path)
{
    FILE *f = fopen(path, "re");
    size_t len = 0, cap = 1 << 16;
    char *text = lt_malloc(cap);

    if (!f)
        die("can't be opened", path);
    for (;;) {
        size_t got = fread(text + len, 1, cap - len - 1, f);

        len += got;
        if (!got)
            break;
        if (cap - len < 2)
            text = lt_realloc(text, cap *= 2, 1);
    }
    fclose(f);
    text[len] = 0;
    return text;
}

static char *word(char **rest)
{
    char *w = strsep(rest, " ");

    if (!w)
        die("a line is cut short", "");
    return w;
}

static void read_dims(char *text, struct lt_operand *o)
{
    char *d;

    o->count = 1;
    if (!strcmp(text, "-"))
        return;
    while ((d = strsep(&text, "x"))) {
        if (o->ndim == LT_DIMS_MAX)
            die("too many dimensions", d);
        o->dim[o->ndim] = strtoll(d, NULL, 10);
        o->count *= o->dim[o->ndim++];
    }
}

static int nibble(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void read_bytes(const char *hex, struct lt_operand *o, const char *key)
{
    size_t bytes = (size_t)o->count * lt_dtype_sizes[o->dtype];
    unsigned char *p = lt_malloc(bytes + 1);

    if (strlen(hex) != 2 * bytes)
        die("a tensor has another length than its dimensions say", key);
    for (size_t i = 0; i < bytes; i++) {
        int high = nibble(hex[2 * i]), low = nibble(hex[2 * i + 1]);

        if (high < 0 || low < 0)
            die("no hexadecimal digits", key);
        p[i] = (unsigned char)(high << 4 | low);
    }
    o->data = p;
}

static void read_item(struct golden_case *c, bool is_tensor, char *rest)
{
    struct golden_item item = {.key = word(&rest)};

    if (is_tensor) {
        item.tensor.dtype = lt_dtype_find(word(&rest));
        if (item.tensor.dtype == LT_DTYPE_N)
            die("unknown dtype", item.key);
        read_dims(word(&rest), &item.tensor);
        read_bytes(rest ? rest : "", &item.tensor, item.key);
    } else
        item.text = rest ? rest : "";
    LT_GROW(c->items, c->n, c->cap);
    c->items[c->n++] = item;
}

void golden_open(struct golden_file *f, const char *path)
{
    char *rest, *line;

    *f = (struct golden_file){.content = read_all(path)};
    rest = f->content;
    while ((line = strsep(&rest, "\n"))) {
        char *what = strsep(&line, " ");

        if (!strcmp(what, "case")) {
            LT_GROW(f->cases, f->n, f->cap);
            f->cases[f->n++] = (struct golden_case){.name = line ? line : ""};
        } else if (f->n && (!strcmp(what, "text") || !strcmp(what, "tensor")))
            read_item(&f->cases[f->n - 1], what[1] == 'e' && what[2] == 'n', line);
        else if (*what)
            die("what is this line", what);
    }
}

void golden_close(struct golden_file *f)
{
    for (int i = 0; i < f->n; i++) {
        for (int k = 0; k < f->cases[i].n; k++)
            lt_free(f->cases[i].items[k].tensor.data);
        lt_free(f->cases[i].items);
    }
    lt_free(f->cases);
    lt_free(f->content);
}

static const struct golden_item *find(const struct golden_case *c, const char *key)
{
    for (int i = 0; i < c->n; i++)
        if (!strcmp(c->items[i].key, key))
            return &c->items[i];
    return NULL;
}

const char *golden_text(const struct golden_case *c, const char *key)
{
    const struct golden_item *i = find(c, key);

    return i ? i->text : NULL;
}

const struct lt_operand *golden_tensor(const struct golden_case *c, const char *key, int i)
{
    const struct golden_item *item;
    char name[64];

    snprintf(name, sizeof name, i < 0 ? "%s" : "%s%d", key, i);
    item = find(c, name);
    return item && !item->text ? &item->tensor : NULL;
}

struct lt_type golden_type(const struct lt_operand *o)
{
    struct lt_type t = {.dtype = o->dtype, .ndim = o->ndim};

    for (int i = 0; i < o->ndim; i++)
        t.dim[i] = lt_dim_num(o->dim[i]);
    return t;
}
