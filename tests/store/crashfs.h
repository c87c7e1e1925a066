/* crashfs.h - an SQLite VFS in memory whose power can be cut
 *
 * Writes, truncations and creations are durable with the next xSync of their file; at a power cut
 * each of those that weren't synced is kept, dropped or torn at a 512-byte sector, by chance (seed
 * 0: all are dropped). Deletions are durable at once. Operations that change something are counted.
 * The name to open with: "crashfs".
 */
#ifndef LT_TESTS_STORE_CRASHFS_H
#define LT_TESTS_STORE_CRASHFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum crashfs_fault {
    CRASHFS_NONE,
    CRASHFS_DIE,  /* the operation and all after it fail, as if the process were gone */
    CRASHFS_ONCE, /* this one fails with an I/O error */
    CRASHFS_FULL, /* this one and all later writes that make a file longer: disk full */
};

void crashfs_reset(void);                                  /* registers it; no files, no faults */
void crashfs_arm(enum crashfs_fault fault,
                 unsigned at); /* at the at-th operation from now (0: the next) */
bool crashfs_fired(void);
void crashfs_power_cut(uint64_t seed);                     /* close everything first; faults end */
/* The n-th byte from the end of a file changes; false: there is no such byte. */
bool crashfs_flip(const char *suffix, size_t from_end);
size_t crashfs_size(const char *suffix);

#endif
