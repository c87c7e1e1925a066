/* loggers.c - the table of loggers, made from the word list of meson.build */
#include "engine/train/logger.h"

#include <stddef.h>

#include "loggers_list.h"

#define X(name) extern const struct lt_logger lt_logger_##name;
LT_LOGGERS
#undef X

static const struct lt_logger *const loggers[] = {
#define X(name) &lt_logger_##name,
    LT_LOGGERS
#undef X
        NULL,
};

const struct lt_logger *lt_logger_find(Lt__V1__Logger__LoggerCase which)
{
    for (int i = 0; loggers[i]; i++)
        if (loggers[i]->which == which)
            return loggers[i];
    return NULL;
}
