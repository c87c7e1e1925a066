/* events.h - reads back TensorBoard event files: "step tag value" lines, checksums checked */
#ifndef LT_TESTS_TRAIN_EVENTS_H
#define LT_TESTS_TRAIN_EVENTS_H

struct lt_buf;
struct rig;

/* All scalars of the run's event files, in order of the files' names. Purge events: "purge STEP".
 */
void rig_events(const struct rig *r, bool purges, struct lt_buf *out);

#endif
