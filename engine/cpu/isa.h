/* isa.h - which instruction set this machine and the user's cap leave us */
#ifndef LT_CPU_ISA_H
#define LT_CPU_ISA_H

#include "engine/cpu/kern.h"

struct lt_error;

/* The table for cap ("avx2", "avx512_core" or a longer oneDNN name above it; NULL: no cap) on this
 * processor; also under the environment's LT_MAX_ISA. NULL: below AVX2 with FMA (-ENOTSUP in err),
 * or a cap that isn't known. */
const struct lt_kern_table *lt_isa_select(const char *cap, struct lt_error *err);

/* The same instruction set's kernels over float64. */
const struct lt_kern_table *lt_isa_float64(const struct lt_kern_table *t);
/* Do cap and processor leave instructions for bfloat16? "avx512_core_bf16" and above do. */
bool lt_isa_has_bfloat16(const char *cap);

/* Flush denormals to zero on this thread: they cost a factor of 100 (Adam's moments of dead units
 * become denormal). */
void lt_isa_flush_denormals(void);

#endif
