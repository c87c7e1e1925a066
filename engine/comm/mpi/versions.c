/* versions.c - which MPICH this is, and which UCX it brought
 *
 * MPI_Get_library_version() may be called before MPI_Init. UCX is asked only where it is in the
 * process already: an MPICH over libfabric brings none.
 */
#include "engine/comm/mpi/lane.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

/* "MPICH Version:\t4.0.2\n…": the number alone. Others of its ABI say their names, which stay. */
static void first_line(const char *text, char *out, size_t n)
{
    const char *colon = strstr(text, " Version:"), *value = colon ? colon + strlen(" Version:") : text;
    int name = colon ? (int)(colon - text) : 0;

    value += strspn(value, " \t");
    if (name == 0 || (name == 5 && memcmp(text, "MPICH", 5) == 0))
        name = -1;
    snprintf(out, n, "%.*s%s%.*s", name < 0 ? 0 : name, text, name < 0 ? "" : " ",
             (int)strcspn(value, "\r\n"), value);
}

void mpi_versions(struct lt_comm_versions *out)
{
    char text[MPI_MAX_LIBRARY_VERSION_STRING] = "";
    void *ucp = dlopen("libucp.so.0", RTLD_LAZY | RTLD_NOLOAD);
    const char *(*version)(void);
    int len = 0;

    if (MPI_Get_library_version(text, &len) == MPI_SUCCESS)
        first_line(text, out->mpich, sizeof out->mpich);
    if (!ucp)
        return;
    *(void **)&version = dlsym(ucp, "ucp_get_version_string");
    if (version)
        snprintf(out->ucx, sizeof out->ucx, "%s", version());
    dlclose(ucp);
}
