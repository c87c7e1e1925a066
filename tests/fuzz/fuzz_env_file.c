/* fuzz_env_file.c - any bytes as a command's env_from_file and as its secret: names and values that an environment
 * can hold, or a sentence */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "engine/worker/command_env.h"
#include "proto/plan.h"
#include "tests/support/tmp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void set(const char *name, const char *value)
{
    assert(!lt_env_name_fault(name) && !strchr(value, '\n'));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *dir;
    struct lt_error err = {0};
    struct lt_buf secret = {0};
    const char *path;

    dir = dir ? dir : lt_test_dir();
    path = lt_test_path(dir, "file");
    lt_test_write(path, data, size);
    assert(lt_command_env_file(path, set, &err) == 0 || err.text[0]);
    if (lt_command_secret(path, &secret, &err) == 0)
        assert(secret.len && strlen(secret.data) == secret.len && size - secret.len <= 1);
    lt_command_wipe(&secret);
    return 0;
}
