/* fuzz_token.c - any bytes as a token file: whoever reads a token from it gets in by it, and by nothing shorter */
#include <assert.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "sys/token.h"
#include "tests/support/tmp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *dir;
    struct lt_tokens *all = NULL;
    LT_BUF_AUTO one = {0};
    const char *path;

    dir = dir ? dir : lt_test_dir();
    path = lt_test_path(dir, "tokens");
    lt_test_write(path, data, size);
    chmod(path, 0600);
    if (lt_tokens_open(path, &all, NULL) < 0)
        return 0;
    assert(lt_token_read(path, &one, NULL) == 0); /* all lines are well, so the first one is */
    assert(one.len >= LT_TOKEN_MIN && one.len <= LT_TOKEN_MAX);
    assert(lt_tokens_match(all, one.data, one.len));
    assert(!lt_tokens_match(all, one.data, 0) && !lt_tokens_match(all, one.data, LT_TOKEN_MIN - 1));
    lt_tokens_close(all);
    return 0;
}
