/* cpuset.c - affinity, quota, model and instruction sets
 *
 * An instruction set counts when the operating system saves its registers (XGETBV), not when CPUID alone
 * shows it.
 */
#include "sys/cpuset.h"

#include <errno.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif
#include "base/auto.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "sys/cgroup.h"
#include "sys/file.h"
#include "sys/paths.h"

#define CPUS_MAX 8192

const char *const lt_isa_names[LT_ISA_N] = {
    "baseline", "sse41", "avx2", "avx512_core", "avx512_core_bf16", "avx512_core_amx",
};

int lt_cpu_ids(int *ids, int max)
{
    size_t size = CPU_ALLOC_SIZE(CPUS_MAX);
    cpu_set_t *set = lt_malloc(size);
    int n = 0;

    if (sched_getaffinity(0, size, set) == 0)
        for (int cpu = 0; cpu < CPUS_MAX; cpu++)
            if (CPU_ISSET_S((size_t)cpu, size, set)) {
                if (n < max)
                    ids[n] = cpu;
                n++;
            }
    lt_free(set);
    return n;
}

static bool read_number(const char *dir, const char *name, double *first, double *second)
{
    LT_AUTO(lt_free) char *path = lt_path_join(dir, name);
    LT_BUF_AUTO text = {0};
    char word[32];

    if (lt_file_read(path, 256, &text, NULL) < 0 || !text.len)
        return false;
    if (sscanf(text.data, "%31s %lf", word, second) < 1)
        return false;
    return lt_parse_double(word, first) == 0 && *first > 0;
}

/* CPUs that one group's quota is worth; 0: no quota. */
static double quota_at(const char *dir, enum lt_cgroup_kind kind)
{
    double quota = 0, period = 0, unused;

    if (kind == LT_CGROUP_V2)
        return read_number(dir, "cpu.max", &quota, &period) && period > 0 ? quota / period : 0;
    if (!read_number(dir, "cpu.cfs_quota_us", &quota, &unused) ||
        !read_number(dir, "cpu.cfs_period_us", &period, &unused))
        return 0;
    return quota / period;
}

/* The tightest quota from our group up to the root of the mount. */
static double quota_cpus(void)
{
    enum lt_cgroup_kind kind;
    char *dir = lt_cgroup_own_dir("cpu", &kind);
    double least = 0;

    while (dir && strlen(dir) > 1) {
        double q = quota_at(dir, kind);
        char *up = lt_path_dirname(dir);

        if (q > 0 && (least == 0 || q < least))
            least = q;
        lt_free(dir);
        dir = up;
    }
    lt_free(dir);
    return least;
}

int lt_cpu_usable(void)
{
    int n = LT_MAX(lt_cpu_ids(NULL, 0), 1);
    double quota = quota_cpus();

    if (quota > 0 && quota < n) {
        int whole = (int)quota;

        n = LT_MAX(whole + (whole < quota), 1);
    }
    return n;
}

void lt_cpu_model(char *out, size_t n)
{
    FILE *f = fopen("/proc/cpuinfo", "re");
    char line[512];

    snprintf(out, n, "unknown");
    while (f && fgets(line, sizeof line, f)) {
        const char *colon = strchr(line, ':');

        if (!colon || !lt_str_starts(line, "model name"))
            continue;
        line[strcspn(line, "\n")] = '\0';
        snprintf(out, n, "%s", colon + 1 + strspn(colon + 1, " \t"));
        break;
    }
    if (f)
        fclose(f);
}

#if defined(__x86_64__)
static uint64_t xgetbv0(void)
{
    uint32_t low, high;

    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

#define XCR0_AVX 0x6u        /* SSE and AVX halves */
#define XCR0_AVX512 0xe6u    /* and mask registers, upper halves, upper sixteen */
#define XCR0_AMX 0x60000u    /* tile configuration and data */
#define AVX512_CORE (bit_AVX512F | bit_AVX512DQ | bit_AVX512BW | bit_AVX512VL)
#define AMX_EDX (1u << 22 | 1u << 24 | 1u << 25) /* leaf 7: bf16, tile, int8 */
#define BF16_EAX (1u << 5)                       /* leaf 7, subleaf 1 */

static enum lt_isa detect(void)
{
    uint32_t a, b, c, d, ecx1, ebx7, edx7, eax71 = 0;
    uint64_t xcr0;

    if (!__get_cpuid(1, &a, &b, &ecx1, &d) || !(ecx1 & bit_SSE4_1))
        return LT_ISA_BASELINE;
    if (!(ecx1 & bit_OSXSAVE) || !__get_cpuid_count(7, 0, &a, &ebx7, &c, &edx7))
        return LT_ISA_SSE41;
    if (a >= 1)
        __get_cpuid_count(7, 1, &eax71, &b, &c, &d);
    xcr0 = xgetbv0();
    if ((xcr0 & XCR0_AVX) != XCR0_AVX || !(ebx7 & bit_AVX2) || !(ecx1 & bit_FMA))
        return LT_ISA_SSE41;
    if ((xcr0 & XCR0_AVX512) != XCR0_AVX512 || (ebx7 & AVX512_CORE) != AVX512_CORE)
        return LT_ISA_AVX2;
    if (!(eax71 & BF16_EAX))
        return LT_ISA_AVX512;
    if ((xcr0 & XCR0_AMX) != XCR0_AMX || (edx7 & AMX_EDX) != AMX_EDX)
        return LT_ISA_AVX512_BF16;
    return LT_ISA_AMX;
}
#else
static enum lt_isa detect(void)
{
    return LT_ISA_BASELINE;
}
#endif

enum lt_isa lt_cpu_isa(void)
{
    enum lt_isa isa = detect(), cap;
    const char *max = getenv("LT_MAX_ISA");

    return max && lt_isa_parse(max, &cap) == 0 && cap < isa ? cap : isa;
}

int lt_isa_parse(const char *name, enum lt_isa *out)
{
    for (int i = 0; i < LT_ISA_N; i++)
        if (lt_str_eq(name, lt_isa_names[i])) {
            *out = (enum lt_isa)i;
            return 0;
        }
    return -EINVAL;
}

int lt_cpu_bind(const int *ids, int n, struct lt_error *err)
{
    size_t size = CPU_ALLOC_SIZE(CPUS_MAX);
    cpu_set_t *set = lt_calloc(1, size);
    int rc = 0;

    for (int i = 0; i < n; i++)
        if (ids[i] >= 0 && ids[i] < CPUS_MAX)
            CPU_SET_S((size_t)ids[i], size, set);
    if (sched_setaffinity(0, size, set) < 0)
        rc = lt_error_set(err, -errno, "binding to %d CPUs: %s", n, strerror(errno));
    lt_free(set);
    return rc;
}
