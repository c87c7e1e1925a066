/* parallel.c - collectives of the chosen strategy
 *
 * One rank needs none. Parameters will be grouped into flat units here, and all-reduce,
 * reduce-scatter and all-gather nodes inserted by the strategy's stage (DDP, sharded states,
 * sharded parameters).
 */
#include "engine/graph/pass.h"

int lt_pass_parallel(struct lt_graph *g, const struct lt_pass_context *c, struct lt_error *err)
{
    (void)g, (void)c, (void)err;
    return 0;
}
