/* powercut.h - which files and folder entries are durable (the model of fault.h) */
#ifndef LT_TESTS_SUPPORT_POWERCUT_H
#define LT_TESTS_SUPPORT_POWERCUT_H

#include <stdint.h>

void lt_powercut_begin(const char *dir);  /* all that is there is durable */
void lt_powercut_synced(int fd);          /* a file's content, or a folder's entries, became durable */
void lt_powercut_happen(uint32_t seed);   /* rebuild, end */
void lt_powercut_end(void);

#endif
