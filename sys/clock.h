/* clock.h - the only place that reads clocks; tests turn it back through LT_CLOCK_OFFSET_FILE
 *
 * Wall time is for people and records; everything that waits or measures uses the monotonic clock.
 */
#ifndef LT_SYS_CLOCK_H
#define LT_SYS_CLOCK_H

#include <stdint.h>

uint64_t lt_clock_wall_ns(void); /* since 1970; plus the offset that the file named by LT_CLOCK_OFFSET_FILE holds (seconds), if it is set */
uint64_t lt_clock_mono_ns(void); /* since boot */
/* RFC 3339 in UTC with milliseconds: 2026-01-31T12:00:00.123Z */
void lt_clock_format(uint64_t wall_ns, char out[32]);

#endif
