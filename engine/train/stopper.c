/* stopper.c - see stopper.h */
#include "engine/train/stopper.h"

#include <math.h>
#include <stdio.h>

static bool is_max(const struct lt_stopper *s)
{
    return s->c->mode == LT__V1__MODE__MAX;
}

/* Is a strictly better than b? */
static bool better(const struct lt_stopper *s, double a, double b)
{
    return is_max(s) ? a > b : a < b;
}

static bool improved(const struct lt_stopper *s, double v)
{
    return better(s, is_max(s) ? v - s->c->min_delta : v + s->c->min_delta, s->best);
}

static bool limits_passed(struct lt_stopper *s, double v)
{
    const Lt__V1__EarlyStopping *c = s->c;

    if (c->check_finite && !isfinite(v))
        snprintf(s->reason, sizeof s->reason, "%s is %f, not finite (best %.3f)", c->monitor, v,
                 s->best);
    else if (c->has_stopping_threshold && better(s, v, c->stopping_threshold))
        snprintf(s->reason, sizeof s->reason, "%s reached its goal: %.3f, threshold %.3f",
                 c->monitor, v, c->stopping_threshold);
    else if (c->has_divergence_threshold && better(s, c->divergence_threshold, v))
        snprintf(s->reason, sizeof s->reason, "%s diverged: %.3f, threshold %.3f", c->monitor, v,
                 c->divergence_threshold);
    else
        return false;
    return true;
}

void lt_stopper_init(struct lt_stopper *s, const Lt__V1__EarlyStopping *c)
{
    *s = (struct lt_stopper){.c = c};
    s->best = is_max(s) ? -(double)INFINITY : (double)INFINITY;
}

bool lt_stopper_check(struct lt_stopper *s, double v)
{
    s->stop = limits_passed(s, v);
    if (s->stop)
        return false;
    if (improved(s, v)) {
        s->gain = fabs(v - s->best);
        s->best = v;
        s->wait = 0;
        return true;
    }
    if (++s->wait >= s->c->patience) {
        snprintf(s->reason, sizeof s->reason, "%s did not improve in the last %llu checks (best %.3f)",
                 s->c->monitor, (unsigned long long)s->wait, s->best);
        s->stop = true;
    }
    return false;
}
