/* adam_update.h - the arithmetic that adam and adam_amsgrad share (Kingma & Ba, arXiv:1412.6980;
 * torch.optim.Adam, AdamW) */
#ifndef LT_OPS_ADAM_UPDATE_H
#define LT_OPS_ADAM_UPDATE_H

#include "engine/ops/update.h"

extern const struct lt_attr_spec
    lt_adam_attrs[]; /* beta1, beta2, eps, weight_decay, decoupled, maximize, clip_value */
/* lr, opt_step and scale are inputs `scalars`, +1, +2; with vmax (input and output) when amsgrad.
 */
int lt_adam_ref(const struct lt_kernel_args *k, int scalars, bool amsgrad);

#endif
