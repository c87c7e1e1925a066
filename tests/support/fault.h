/* fault.h - a disk that fails, fills up, and loses what nobody synced
 *
 * Hooks under sys/file.h. Every call through it is one operation (opens, writes, syncs, renames, …); they
 * are counted from the last lt_fault_*() call that arms something. Thread-safe: writers may be threads.
 *
 * The k-th-failure loop:
 *     for (unsigned k = 0;; k++) {
 *         lt_fault_fail_at(k, EIO);
 *         rc = the_operation();
 *         if (!lt_fault_fired())
 *             break;                       // nothing left to fail
 *         assert(rc < 0 and the old state still stands);
 *     }
 *     lt_fault_off();
 *
 * The power-cut loop, one round per k:
 *     lt_fault_track(dir);                 // everything in dir is durable now
 *     lt_fault_die_at(k);                  // the k-th operation and all later ones fail: we are dead
 *     the_operation();
 *     lt_fault_off();
 *     lt_fault_power_cut(seed);            // dir becomes what a machine finds after the power came back
 *     assert(recovery finds the old state or the new one, whole);
 *
 * Power-cut model: a file keeps the content of its last fsync or fdatasync; a folder keeps the entries
 * (creations, renames, removals) of its last fsync, below the folder that is tracked. A file whose entry is
 * durable and whose content isn't is empty. seed 0 drops all that wasn't synced; other seeds let parts
 * of it through: a file its new content, or that cut short, or zeros in place of its end; a folder its new
 * entries. Writes through mmap count like others, at the file's next sync. Links and devices aren't modelled.
 */
#ifndef LT_TESTS_SUPPORT_FAULT_H
#define LT_TESTS_SUPPORT_FAULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The k-th operation from now (0: the next) fails with -error; later ones work again. A failing write
 * first writes half of its bytes. */
void lt_fault_fail_at(unsigned k, int error);
/* It and all after it fail with -EIO, as if the process had died there. */
void lt_fault_die_at(unsigned k);
/* _exit(status) at the k-th operation, after half of it when it is a write: for a forked child. */
void lt_fault_exit_at(unsigned k, int status);
/* Room for this many more bytes; then writes are cut short and fail with -ENOSPC. Removing frees nothing. */
void lt_fault_disk_full(uint64_t bytes);
/* Did the armed fault happen? */
bool lt_fault_fired(void);
/* Operations since it was armed. */
unsigned lt_fault_count(void);
/* Counting goes on, nothing fails. Tracking goes on, too. */
void lt_fault_off(void);

/* Starts the power-cut model for everything below dir, forgetting an earlier one. */
void lt_fault_track(const char *dir);
/* Rebuilds dir from what was durable and ends tracking. Files that are open keep their old inodes: close first. */
void lt_fault_power_cut(uint32_t seed);
/* The system's own file operations again, no tracking. */
void lt_fault_remove(void);

#endif
