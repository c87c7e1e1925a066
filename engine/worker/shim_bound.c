/* shim_bound.c - see shim_bound.h
 *
 * What ltd asks a program of ours (is this plan right? which libraries are here?) may take for ever, and
 * nobody waits for the answer when ltd is killed. The kernel ends the program then: PR_SET_PDEATHSIG, which exec
 * leaves alone. It must be set between fork and exec, where libuv lets nobody in; hence a program in between.
 * "Parent" is the thread that forked: ltd's loop, which lives as long as ltd.
 */
#include "engine/worker/shim_bound.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/str.h"

int lt_shim_bound_main(char **argv)
{
    uint64_t parent = 0;

    if (lt_parse_u64(argv[0], &parent) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        return 2;
    if ((uint64_t)getppid() != parent) /* it died before the line above */
        return 127;
    execv(argv[1], argv + 1);
    fprintf(stderr, "exec %s: %s\n", argv[1], strerror(errno));
    return 127;
}
