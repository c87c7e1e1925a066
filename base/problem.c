/* problem.c - the list of an input's problems */
#include "base/problem.h"

#include <stdarg.h>
#include "base/buf.h"
#include "base/mem.h"

void lt_problems_done(struct lt_problems *p)
{
    for (size_t i = 0; i < p->len; i++) {
        lt_free(p->items[i].path);
        lt_free(p->items[i].reason);
        lt_free(p->items[i].remedy);
    }
    lt_free(p->items);
    *p = (struct lt_problems){0};
}

static struct lt_problem *add(struct lt_problems *p, bool warning, const char *path,
                              const char *remedy, const char *format, va_list ap)
{
    LT_BUF_AUTO reason = {0};

    if (!warning)
        p->errors++;
    if (p->len >= LT_PROBLEMS_MAX) {
        p->dropped++;
        return NULL;
    }
    lt_buf_vprintf(&reason, format, ap);
    LT_GROW(p->items, p->len, p->cap);
    p->items[p->len] = (struct lt_problem){
        .path = lt_strdup(path ? path : ""),
        .reason = lt_buf_take(&reason),
        .remedy = lt_strdup(remedy ? remedy : ""),
        .warning = warning,
    };
    return &p->items[p->len++];
}

struct lt_problem *lt_problem_add(struct lt_problems *p, const char *path, const char *remedy,
                                  const char *reason_format, ...)
{
    struct lt_problem *item;
    va_list ap;

    va_start(ap, reason_format);
    item = add(p, false, path, remedy, reason_format, ap);
    va_end(ap);
    return item;
}

struct lt_problem *lt_problem_warn(struct lt_problems *p, const char *path, const char *remedy,
                                   const char *reason_format, ...)
{
    struct lt_problem *item;
    va_list ap;

    va_start(ap, reason_format);
    item = add(p, true, path, remedy, reason_format, ap);
    va_end(ap);
    return item;
}
