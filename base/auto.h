/* auto.h - release at the end of a scope, and hand-over out of one */
#ifndef LT_BASE_AUTO_H
#define LT_BASE_AUTO_H

/* LT_DEFINE_AUTO(struct lt_x *, lt_x_free) beside the destructor; then
 * LT_AUTO(lt_x_free) struct lt_x *x = …; frees x when the scope ends. Destructors accept NULL. */
#define LT_DEFINE_AUTO(type, fn)                                                                   \
    static inline void fn##_auto_(type *p)                                                         \
    {                                                                                              \
        if (*p)                                                                                    \
            fn(*p);                                                                                \
    }
#define LT_AUTO(fn) __attribute__((cleanup(fn##_auto_)))

/* Takes the pointer out of an LT_AUTO variable: the caller owns it now. */
#define LT_TAKE(p)                                                                                 \
    ({                                                                                             \
        __typeof__(p) taken_ = (p);                                                                \
        (p) = NULL;                                                                                \
        taken_;                                                                                    \
    })

#define LT_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define LT_MIN(a, b) ((a) < (b) ? (a) : (b))
#define LT_MAX(a, b) ((a) > (b) ? (a) : (b))
#define LT_CONTAINER_OF(p, type, member) ((type *)((char *)(p) - offsetof(type, member)))

#endif
