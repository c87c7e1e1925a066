/* replay.c - runs a fuzz target over files, as an ordinary test: every found input stays found
 *
 * Arguments: files or folders. TAP, one case a file; the name is out before the target runs, so that a
 * crash says where.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "tests/support/tmp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int cases;

static void run_file(const char *path)
{
    size_t n;
    char *data = lt_test_read(path, &n);
    uint8_t *exact;

    if (!data) {
        printf("Bail out! %s can't be read\n", path);
        exit(1);
    }
    exact = malloc(n ? n : 1); /* no byte behind the input: a sanitizer sees reads beyond it */
    memcpy(exact, data, n);
    free(data);
    printf("# %s\n", path);
    fflush(stdout);
    LLVMFuzzerTestOneInput(exact, n);
    free(exact);
    printf("ok %d - %s\n", ++cases, strrchr(path, '/') ? strrchr(path, '/') + 1 : path);
}

static void run(const char *path)
{
    struct dirent **names;
    struct stat st;
    int n;

    if (stat(path, &st) == 0 && !S_ISDIR(st.st_mode)) {
        run_file(path);
        return;
    }
    n = scandir(path, &names, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        if (names[i]->d_name[0] != '.')
            run_file(lt_test_path(path, names[i]->d_name));
        free(names[i]);
    }
    if (n >= 0)
        free(names);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        run(argv[i]);
    printf("1..%d\n", cases);
    return cases ? 0 : 1;
}
