/* precision.c - casts, by each operator's row (run low / keep in float32 / follow the inputs)
 *
 * `32-true` is the one precision of this release, and it needs none. Mixed precisions will insert
 * casts here, before `parallel`, which must see the type that gradients travel in.
 */
#include "engine/graph/pass.h"

int lt_pass_precision(struct lt_graph *g, const struct lt_pass_context *c, struct lt_error *err)
{
    (void)g, (void)c, (void)err;
    return 0;
}
