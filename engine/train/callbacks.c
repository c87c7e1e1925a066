/* callbacks.c - the table of callbacks, made from the word list of meson.build */
#include "engine/train/callback.h"

#include <stddef.h>

#include "base/mem.h"
#include "callbacks_list.h"

#define X(name) extern const struct lt_callback lt_callback_##name;
LT_CALLBACKS
#undef X

static const struct lt_callback *const callbacks[] = {
#define X(name) &lt_callback_##name,
    LT_CALLBACKS
#undef X
        NULL,
};

const struct lt_callback *lt_callback_find(Lt__V1__Callback__CallbackCase which)
{
    for (int i = 0; callbacks[i]; i++)
        if (callbacks[i]->which == which)
            return callbacks[i];
    return NULL;
}

void lt_save_done(struct lt_save *s)
{
    lt_free(s->dir);
    lt_free(s->name);
    lt_free(s->monitor);
    for (int i = 0; i < s->n_removed; i++)
        lt_free(s->removed[i]);
    *s = (struct lt_save){0};
}
