/* optimizer.c - the table of optimisers, from the list in meson.build */
#include "engine/graph/optimizer.h"

#include <stddef.h>
#include "engine/graph/optimizers_list.h"

#define X(name) extern const struct lt_optimizer lt_optimizer_##name;
LT_OPTIMIZERS
#undef X

#define X(name) &lt_optimizer_##name,
const struct lt_optimizer *const lt_optimizers[] = {LT_OPTIMIZERS NULL};
#undef X
