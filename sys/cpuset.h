/* cpuset.h - which CPUs this process may use, what they are, and binding to some of them */
#ifndef LT_SYS_CPUSET_H
#define LT_SYS_CPUSET_H

#include <stddef.h>

struct lt_error;

/* Ids of the CPUs in our affinity mask, ascending; at most max are stored. The number there are. */
int lt_cpu_ids(int *ids, int max);
/* CPUs worth a thread each: the affinity mask, cut by the cgroup's CPU quota (rounded up); at least 1. */
int lt_cpu_usable(void);
/* "AMD EPYC 9334 32-Core Processor"; "unknown" when /proc doesn't say. */
void lt_cpu_model(char *out, size_t n);

/* What CPU and operating system both support, ascending; names as oneDNN's: "baseline", "sse41", "avx2",
 * "avx512_core", "avx512_core_bf16", "avx512_core_amx". LT_MAX_ISA=NAME caps it (tests, other
 * machines' profiles). */
enum lt_isa { LT_ISA_BASELINE, LT_ISA_SSE41, LT_ISA_AVX2, LT_ISA_AVX512, LT_ISA_AVX512_BF16, LT_ISA_AMX, LT_ISA_N };
extern const char *const lt_isa_names[LT_ISA_N];
enum lt_isa lt_cpu_isa(void);
/* -EINVAL: no such name. */
int lt_isa_parse(const char *name, enum lt_isa *out);

/* Binds the calling thread, and with it everything it starts from now on. */
int lt_cpu_bind(const int *ids, int n, struct lt_error *err);

#endif
