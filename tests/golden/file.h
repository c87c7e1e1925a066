/* file.h - reads files of golden values (the format is described in golden.py) */
#ifndef LT_TESTS_GOLDEN_FILE_H
#define LT_TESTS_GOLDEN_FILE_H

#include "engine/graph/op.h"

struct golden_item {
    const char *key;
    const char *text;         /* NULL: a tensor */
    struct lt_operand tensor; /* owned by the file */
};
struct golden_case {
    const char *name;
    struct golden_item *items;
    int n, cap;
};
struct golden_file {
    struct golden_case *cases;
    int n, cap;
    char *content;
};

/* Ends the program with a sentence when the file isn't one: tests can't go on without it. */
void golden_open(struct golden_file *f, const char *path);
void golden_close(struct golden_file *f);
const char *golden_text(const struct golden_case *c, const char *key); /* NULL: not there */
/* Key "KEYi" when i >= 0. NULL: not there. */
const struct lt_operand *golden_tensor(const struct golden_case *c, const char *key, int i);
struct lt_type golden_type(const struct lt_operand *o);

#endif
