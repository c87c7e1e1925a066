/* inventory.c - what this node has
 *
 * `build` is a digest of the engine's program: nodes with equal ones give equal bits on equal
 * processors.
 */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "daemon/node/internal.h"
#include "sys/cgroup.h"
#include "sys/cpuset.h"
#include "sys/file.h"
#include "sys/rss.h"
#include "sys/sha256.h"

#define MODEL_MAX 128
#define BUILD_CHARS 16
#define CHUNK (1u << 16)

static char *build_of(const char *worker)
{
    LT_AUTO(lt_sha256_free) struct lt_sha256 *h = lt_sha256_new();
    LT_AUTO(lt_free) char *chunk = lt_malloc(CHUNK);
    FILE *f = fopen(worker, "rbe");
    char hex[65];
    size_t n;

    while (f && (n = fread(chunk, 1, CHUNK, f)) > 0)
        lt_sha256_add(h, chunk, n);
    if (f)
        fclose(f);
    lt_sha256_hex(h, hex);
    return lt_strndup(hex, BUILD_CHARS);
}

static char *boot_id(void)
{
    LT_BUF_AUTO text = {0};

    if (lt_file_read("/proc/sys/kernel/random/boot_id", 64, &text, NULL) < 0 || !text.data)
        return lt_strdup("");
    text.data[strcspn(text.data, "\n")] = 0;
    return lt_strdup(text.data);
}

static char *host(void)
{
    char name[256] = "";

    gethostname(name, sizeof name - 1);
    return lt_strdup(name);
}

Lt__V1__Inventory *lt_node_inventory(const char *worker)
{
    Lt__V1__Inventory *inv = lt_malloc(sizeof *inv);
    char model[MODEL_MAX];
    uint64_t total = 0, available;

    lt__v1__inventory__init(inv);
    lt_cpu_model(model, sizeof model);
    lt_memory_of_machine(&total, &available);
    inv->hostname = host();
    inv->has_cpus = inv->has_memory_bytes = true;
    inv->cpus = (uint32_t)lt_cpu_usable();
    inv->memory_bytes = total;
    inv->isa = lt_strdup(lt_isa_names[lt_cpu_isa()]);
    inv->cpu_model = lt_strdup(model);
    inv->boot_id = boot_id();
    inv->memory_limits = lt_strdup(lt_cgroup_kind_names[lt_cgroup_probe()]);
    inv->build = build_of(worker);
    return inv;
}

void lt_node_inventory_free(Lt__V1__Inventory *inv)
{
    if (!inv)
        return;
    lt_free(inv->hostname);
    lt_free(inv->isa);
    lt_free(inv->cpu_model);
    lt_free(inv->boot_id);
    lt_free(inv->memory_limits);
    lt_free(inv->build);
    lt_free(inv->mpich);
    lt_free(inv->ucx);
    lt_free(inv);
}
