/* versions_main.h - lt-worker --libraries: what a node's inventory says of MPICH
 *
 * Two lines on stdout, "mpich VERSION" and "ucx VERSION"; "none" for what isn't there, and why on
 * stderr. The agent asks in a process of its own, so that neither library is ever in ltd.
 */
#ifndef LT_WORKER_VERSIONS_MAIN_H
#define LT_WORKER_VERSIONS_MAIN_H

int lt_versions_main(void); /* exit status */

#endif
