/* rss.h - memory that a process really holds: RssAnon + RssShmem, as admission promises it */
#ifndef LT_SYS_RSS_H
#define LT_SYS_RSS_H

#include <stdint.h>
#include <sys/types.h>

/* Bytes; pid 0 is the caller. -ESRCH: gone (a zombie holds 0). */
int lt_rss_of(pid_t pid, uint64_t *bytes);
/* MemTotal and MemAvailable of the machine, in bytes. */
int lt_memory_of_machine(uint64_t *total, uint64_t *available);

#endif
