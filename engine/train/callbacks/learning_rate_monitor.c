/* learning_rate_monitor.c - logs the rate (and momentum, weight decay) at each logged update, each
 * epoch, or as the schedule goes */
#include "base/mem.h"
#include "engine/train/callback.h"

struct monitor {
    const Lt__V1__LearningRateMonitor *c;
    const Lt__V1__Optimizer *optimizer;
    char *lr, *momentum, *decay;
};

static void *monitor_create(const Lt__V1__Callback *config, const struct lt_callback_env *env)
{
    struct monitor *m = lt_calloc(1, sizeof *m);
    const char *class = lt_optimizer_class(env->plan->optimizer);

    m->c = config->learning_rate_monitor;
    m->optimizer = env->plan->optimizer;
    m->lr = lt_format("lr-%s", class);
    m->momentum = lt_format("lr-%s-momentum", class);
    m->decay = lt_format("lr-%s-weight_decay", class);
    return m;
}

static void monitor_destroy(void *self)
{
    struct monitor *m = self;

    lt_free(m->lr);
    lt_free(m->momentum);
    lt_free(m->decay);
    lt_free(m);
}

static void add(const struct lt_hook *h, const char *name, double value)
{
    struct lt_requests *r = h->requests;

    if (r->n_logs < LT_LOGS_MAX) {
        r->logs[r->n_logs].name = name;
        r->logs[r->n_logs++].value = value;
    }
}

static void log_all(const struct monitor *m, const struct lt_hook *h)
{
    add(h, m->lr, h->schedule->lr);
    if (m->c->log_momentum)
        add(h, m->momentum, lt_optimizer_momentum(m->optimizer));
    if (m->c->log_weight_decay)
        add(h, m->decay, lt_optimizer_weight_decay(m->optimizer));
}

/* Without an interval of its own it follows the schedule's; without a schedule it logs at both. */
static bool wanted(const struct monitor *m, const struct lt_hook *h, bool by_step)
{
    if (m->c->has_logging_interval)
        return (m->c->logging_interval == LT__V1__INTERVAL__step) == by_step;
    return !h->schedule->plan || h->schedule->by_step == by_step;
}

static int monitor_on_epoch_start(void *self, const struct lt_hook *h, struct lt_error *err)
{
    (void)err;
    if (wanted(self, h, false))
        log_all(self, h);
    return 0;
}

static int monitor_on_window_start(void *self, const struct lt_hook *h, struct lt_error *err)
{
    (void)err;
    if (h->should_log && wanted(self, h, true))
        log_all(self, h);
    return 0;
}

static int monitor_columns(const void *self, const char **names, int max)
{
    const struct monitor *m = self;
    int n = 0;

    if (n < max)
        names[n++] = m->lr;
    if (m->c->log_momentum && n < max)
        names[n++] = m->momentum;
    if (m->c->log_weight_decay && n < max)
        names[n++] = m->decay;
    return n;
}

const struct lt_callback lt_callback_learning_rate_monitor = {
    .name = "learning_rate_monitor",
    .which = LT__V1__CALLBACK__CALLBACK_LEARNING_RATE_MONITOR,
    .create = monitor_create,
    .destroy = monitor_destroy,
    .on_epoch_start = monitor_on_epoch_start,
    .on_window_start = monitor_on_window_start,
    .columns = monitor_columns,
};
