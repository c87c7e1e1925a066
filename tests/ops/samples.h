/* samples.h - what every operator is tried on (notation: kit.h) */
#ifndef LT_TESTS_OPS_SAMPLES_H
#define LT_TESTS_OPS_SAMPLES_H

struct sample {
    const char *op, *in, *attrs, *out; /* types of inputs and outputs */
};
extern const struct sample samples[]; /* ended by an op of NULL */

#endif
