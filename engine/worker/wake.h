/* wake.h - tells the agent that the journal grew: ZeroMQ PUSH of the attempt folder's name to the
 * address in its `wake`
 *
 * Losing any of these loses nothing, the agent looks by itself four times a second. libzmq brings
 * twenty libraries along, so it is loaded at the first poke, and the first poke comes after the
 * first step.
 */
#ifndef LT_ENGINE_WORKER_WAKE_H
#define LT_ENGINE_WORKER_WAKE_H

struct lt_wake;

struct lt_wake *lt_wake_new(const char *attempt_dir); /* reads nothing yet */
/* Never blocks, never fails; after a failure to connect it does nothing any more. */
void lt_wake_poke(struct lt_wake *w);
void lt_wake_free(struct lt_wake *w); /* doesn't wait for what wasn't sent */

#endif
