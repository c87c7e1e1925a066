/* transform.h - scale and normalize, from bytes to float32
 *
 * A chain of them is one affine function per channel, y = a x + b, with a and b worked out in
 * double and rounded once; the product and the sum are rounded to float32 each. Same bits on every
 * CPU; within two units in the last place of torchvision's ToTensor and Normalize, which round
 * after each step.
 */
#ifndef LT_DATA_TRANSFORM_H
#define LT_DATA_TRANSFORM_H

#include <stddef.h>
#include <stdint.h>
#include "base/auto.h"
#include "lt/v1/plan.pb-c.h"

struct lt_problems;
struct lt_transform;

/* For samples of `channels` planes of `plane` elements each. `first` then `then` are applied in
 * order. NULL with problems (at path) when a normalisation has neither one value nor one per
 * channel. */
struct lt_transform *lt_transform_new(Lt__V1__Transform *const *first, size_t n_first,
                                      Lt__V1__Transform *const *then, size_t n_then,
                                      size_t channels, size_t plane, const char *path,
                                      struct lt_problems *problems);
void lt_transform_free(struct lt_transform *t);
LT_DEFINE_AUTO(struct lt_transform *, lt_transform_free)
void lt_transform_run(const struct lt_transform *t, const uint8_t *src,
                      float *dst); /* one sample */

#endif
