/* paths.c - the XDG rules and our own layout */
#include "sys/paths.h"

#include <errno.h>
#include <limits.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/auto.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"

char *lt_path_join(const char *a, const char *b)
{
    return lt_format("%s%s%s", a, *a == '\0' || lt_str_ends(a, "/") ? "" : "/", b);
}

char *lt_path_dirname(const char *path)
{
    size_t n = strlen(path);

    while (n > 1 && path[n - 1] == '/')
        n--;
    while (n > 0 && path[n - 1] != '/')
        n--;
    if (n == 0)
        return lt_strdup(".");
    while (n > 1 && path[n - 1] == '/')
        n--;
    return lt_strndup(path, n);
}

static const char *home(void)
{
    const char *h = getenv("HOME");
    const struct passwd *pw;

    if (h && *h == '/')
        return h;
    pw = getpwuid(geteuid());
    return pw && pw->pw_dir ? pw->pw_dir : "/";
}

/* $VARIABLE/ltd; the specification ignores values that aren't absolute. */
static char *xdg(const char *variable, const char *in_home)
{
    const char *base = getenv(variable);
    LT_AUTO(lt_free) char *dir = NULL;

    dir = base && *base == '/' ? lt_strdup(base) : lt_path_join(home(), in_home);
    return lt_path_join(dir, "ltd");
}

char *lt_path_state_dir(void)
{
    return xdg("XDG_STATE_HOME", ".local/state");
}

char *lt_path_data_dir(void)
{
    return xdg("XDG_DATA_HOME", ".local/share");
}

char *lt_path_cache_dir(void)
{
    return xdg("XDG_CACHE_HOME", ".cache");
}

char *lt_path_runtime_dir(void)
{
    const char *base = getenv("XDG_RUNTIME_DIR");

    return base && *base == '/' ? lt_path_join(base, "ltd")
                                : lt_format("/tmp/ltd-%u", (unsigned)geteuid());
}

char *lt_path_user_socket(void)
{
    LT_AUTO(lt_free) char *dir = lt_path_runtime_dir();

    return lt_path_join(dir, "ltd.sock");
}

/* The folder of the running binary; an upgrade may have replaced the file. */
static char *own_dir(void)
{
    char exe[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);

    if (n <= 0)
        return lt_strdup(".");
    exe[n] = '\0';
    return lt_path_dirname(exe);
}

static bool in_bin(const char *name)
{
    return lt_str_eq(name, "ltd") || lt_str_eq(name, "ltctl");
}

static char *search(const char *folders, const char *name)
{
    for (const char *p = folders; p && *p;) {
        size_t n = strcspn(p, ":");
        LT_AUTO(lt_free) char *dir = lt_strndup(p, n);
        LT_AUTO(lt_free) char *file = lt_path_join(dir, name);

        if (n && access(file, X_OK) == 0)
            return LT_TAKE(file);
        p += n + (p[n] == ':');
    }
    return NULL;
}

char *lt_path_program(const char *name)
{
    char *found = search(getenv("LT_PROGRAM_PATH"), name);
    LT_AUTO(lt_free) char *dir = own_dir();
    LT_AUTO(lt_free) char *prefix = NULL;

    if (found)
        return found;
    prefix = lt_path_dirname(dir); /* of bin */
    if (lt_str_ends(dir, "/libexec/ltd")) {
        LT_AUTO(lt_free) char *libexec = LT_TAKE(prefix);

        prefix = lt_path_dirname(libexec);
    }
    return lt_format("%s/%s/%s", lt_str_eq(prefix, "/") ? "" : prefix,
                     in_bin(name) ? "bin" : "libexec/ltd", name);
}

int lt_path_make_runtime_dir(const char *dir, struct lt_error *err)
{
    struct stat st;

    if (mkdir(dir, 0700) < 0 && errno != EEXIST)
        return lt_error_set(err, -errno, "mkdir %s: %s", dir, strerror(errno));
    if (lstat(dir, &st) < 0)
        return lt_error_set(err, -errno, "stat %s: %s", dir, strerror(errno));
    if (!S_ISDIR(st.st_mode))
        return lt_error_set(err, -ENOTDIR, "%s is not a folder", dir);
    if (st.st_uid != geteuid())
        return lt_error_set(err, -EPERM, "%s belongs to uid %u, not to us", dir,
                            (unsigned)st.st_uid);
    if ((st.st_mode & 077) && chmod(dir, 0700) < 0)
        return lt_error_set(err, -errno, "chmod %s: %s", dir, strerror(errno));
    return 0;
}

char *lt_path_blob(const char *state, const char *hash)
{
    return lt_format("%s/blobs/%.2s/%s", state, hash, hash);
}
