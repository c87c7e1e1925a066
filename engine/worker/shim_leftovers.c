/* shim_leftovers.c - see shim_leftovers.h
 *
 * MPICH makes a file in /dev/shm and removes it once all ranks of the node have mapped it; UCX removes
 * a System V segment as soon as it is attached. A rank killed between leaves them. Their names say
 * nothing about whose they are, so the rule is use: whoever makes such a file has it open until he has
 * it mapped, and mapped until it is removed. Descriptors are looked at before mappings, so a process
 * that goes from one to the other is seen. What can't be looked at is in use.
 */
#include "engine/worker/shim_leftovers.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "sys/file.h"
#include "sys/log.h"
#include "sys/paths.h"

#define FOLDER "/dev/shm"
#define LIST_MAX (64u << 20)

static const char *const prefixes[] = {"mpich_shar_tmp", "ucx_shm_posix_"};

static bool is_candidate(const char *name, char **path)
{
    struct stat st;

    for (size_t i = 0; i < LT_ARRAY_LEN(prefixes); i++) {
        if (!lt_str_starts(name, prefixes[i]))
            continue;
        *path = lt_path_join(FOLDER, name);
        if (lstat(*path, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid())
            return true;
        lt_free(*path);
        *path = NULL; /* it may match another one; and who called frees what there is */
    }
    return false;
}

static bool has_open(const char *process, const char *path)
{
    LT_AUTO(lt_free) char *folder = lt_format("/proc/%s/fd", process);
    DIR *d = opendir(folder);
    const struct dirent *e;
    bool found = false;

    if (!d)
        return errno == EMFILE || errno == ENFILE;
    while (!found && (e = readdir(d))) {
        LT_AUTO(lt_free) char *link = lt_path_join(folder, e->d_name);
        char target[256];
        ssize_t n = readlink(link, target, sizeof target - 1);

        if (n > 0) {
            target[n] = 0;
            found = strcmp(target, path) == 0;
        }
    }
    closedir(d);
    return found;
}

static bool has_mapped(const char *process, const char *path)
{
    LT_AUTO(lt_free) char *maps = lt_format("/proc/%s/maps", process);
    LT_BUF_AUTO text = {0};
    int rc = lt_file_read(maps, LIST_MAX, &text, NULL);

    if (rc < 0)
        return rc != -ENOENT && rc != -ESRCH && rc != -EACCES; /* ended, or not one of ours */
    return text.data && strstr(text.data, path);
}

static bool in_use(const char *path)
{
    DIR *d = opendir("/proc");
    const struct dirent *e;
    bool used = false;

    if (!d)
        return true;
    while (!used && (e = readdir(d)))
        used = isdigit((unsigned char)e->d_name[0]) &&
               (has_open(e->d_name, path) || has_mapped(e->d_name, path));
    closedir(d);
    return used;
}

static unsigned remove_files(void)
{
    DIR *d = opendir(FOLDER);
    const struct dirent *e;
    unsigned n = 0;

    while (d && (e = readdir(d))) {
        LT_AUTO(lt_free) char *path = NULL;

        if (is_candidate(e->d_name, &path) && !in_use(path) && unlink(path) == 0) {
            lt_info("removed %s, which a rank left behind", path);
            n++;
        }
    }
    if (d)
        closedir(d);
    return n;
}

/* /proc/sysvipc/shm: key shmid perms size cpid lpid nattch uid … */
static unsigned remove_segments(pid_t rank)
{
    LT_BUF_AUTO text = {0};
    char *save = NULL;
    unsigned n = 0;

    if (lt_file_read("/proc/sysvipc/shm", LIST_MAX, &text, NULL) < 0 || !text.data)
        return 0;
    for (char *l = strtok_r(text.data, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
        int id, creator, attached;
        unsigned uid;

        if (sscanf(l, "%*d %d %*o %*u %d %*d %d %u", &id, &creator, &attached, &uid) == 4 &&
            creator == rank && attached == 0 && uid == geteuid() && shmctl(id, IPC_RMID, NULL) == 0) {
            lt_info("removed shared memory segment %d, which a rank left behind", id);
            n++;
        }
    }
    return n;
}

unsigned lt_shim_remove_leftovers(pid_t rank)
{
    return remove_files() + remove_segments(rank);
}
