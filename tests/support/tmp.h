/* tmp.h - temporary folders of a test program; all are removed when it exits */
#ifndef LT_TESTS_SUPPORT_TMP_H
#define LT_TESTS_SUPPORT_TMP_H

#include <stddef.h>

/* A new empty folder below $TMPDIR or /tmp. Valid until exit; not to be freed. */
const char *lt_test_dir(void);
/* "DIR/name" in a ring of 16 static buffers. */
const char *lt_test_path(const char *dir, const char *name);
void lt_test_write(const char *path, const void *data, size_t n);
/* The whole file, NUL behind it, malloc'd; *n may be NULL. NULL: it can't be read. */
char *lt_test_read(const char *path, size_t *n);

#endif
