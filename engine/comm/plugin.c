/* plugin.c - loads an implementation of collectives from a shared object beside the worker
 *
 * Only a world of more than one rank pays for the library, or needs it installed. A plug-in of
 * another build is refused: its structures may be others.
 */
#include <dlfcn.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "engine/comm/impl.h"
#include "sys/paths.h"

static char *path_of(const struct lt_comm *c, const char *name)
{
    LT_AUTO(lt_free) char *file = lt_format("liblt_%s.so", name);

    return c->config.plugins ? lt_path_join(c->config.plugins, file) : lt_path_program(file);
}

int lt_comm_plugin_load(struct lt_comm *c, const char *name, const char *package,
                        struct lt_error *err)
{
    LT_AUTO(lt_free) char *path = path_of(c, name);
    LT_AUTO(lt_free) char *symbol = lt_format("lt_comm_plugin_%s", name);
    const struct lt_comm_plugin *p;

    if (access(path, R_OK) < 0)
        return lt_error_set(err, -ENOENT,
                            "%s: %s; ranks on several nodes need it (package %s, with ltd "
                            "built where libmpich-dev is)",
                            path, strerror(errno), package);
    c->library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!c->library)
        return lt_error_set(err, -ELIBBAD, "%s; is the package %s installed?", dlerror(), package);
    p = dlsym(c->library, symbol);
    if (!p || p->abi != LT_COMM_PLUGIN_ABI || strcmp(p->version, LT_VERSION) != 0)
        return lt_error_set(err, -ELIBBAD, "%s: belongs to another build of ltd (%s, we are %s)",
                            path, p ? p->version : "unknown", LT_VERSION);
    c->impl = p->impl;
    return 0;
}
