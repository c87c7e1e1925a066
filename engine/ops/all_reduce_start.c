/* all_reduce_start.c - packs a unit and begins its sum over all ranks, in the order of the ranks
 *
 * In: the unit's members, of each of this rank's slices. Out: the flat form, whose first slice holds
 * the sum of all ranks' slices in their order when the collective_wait is over. What is here is the
 * work of a rank that is alone.
 */
#include "engine/ops/unit.h"

static const struct lt_attr_spec attrs[] = {{"unit", LT_ATTR_INT, true, 0, NULL},
                                            {"slices", LT_ATTR_INT, false, 1, NULL},
                                            LT_ATTR_END};

const struct lt_op lt_op_all_reduce_start = {
    .name = "all_reduce_start",
    .internal = true,
    .by_name = true,
    .collective = LT_OP_COMM_START,
    .precision = LT_PRECISION_KEEP,
    .min_in = 1,
    .max_in = LT_OP_VARIADIC,
    .n_out = 1,
    .attrs = attrs,
    .infer = lt_unit_infer_start,
    .ref = lt_unit_reduce,
};
