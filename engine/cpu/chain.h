/* chain.h - a chain of pointwise operators as an attribute of a node
 *
 * `lower` makes nodes of the operator cpu_chain, whose only output is written by the last
 * instruction, so that it may lie where an input lay; attribute `code`: n_code, then for each
 * instruction code, a, b, out, and the bits of imm as a double.
 */
#ifndef LT_CPU_CHAIN_H
#define LT_CPU_CHAIN_H

#include "engine/cpu/kern.h"
#include "engine/graph/op.h"

extern const struct lt_op lt_cpu_op_chain;

void lt_chain_encode(struct lt_graph *g, struct lt_node *n, const struct lt_chain_instr *code,
                     int n_code);
void lt_chain_decode(const struct lt_node *n, struct lt_chain *c); /* n_in, n_out, n_code, code */

/* The one instruction that operator is; false: it isn't pointwise, or not over types a chain can
 * read and write. */
bool lt_chain_instr_of(const struct lt_graph *g, const struct lt_node *n,
                       struct lt_chain_instr *out);

#endif
