/* table.c - the operators, made from the word list in meson.build */
#include <string.h>

#include "engine/graph/op.h"
#include "engine/ops/ops_list.h"

#define X(name) extern const struct lt_op lt_op_##name;
LT_OPS
#undef X

#define X(name) &lt_op_##name,
const struct lt_op *const lt_ops[] = {LT_OPS NULL};
#undef X

const struct lt_op *lt_op_find(const char *name)
{
    for (const struct lt_op *const *op = lt_ops; *op; op++)
        if (!strcmp((*op)->name, name))
            return *op;
    return NULL;
}
