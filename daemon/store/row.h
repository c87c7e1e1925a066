/* row.h - the checksum that chains the rows of the log */
#ifndef LT_DAEMON_STORE_ROW_H
#define LT_DAEMON_STORE_ROW_H

#include <stddef.h>
#include <stdint.h>

/* crc32c over (crc of the row before, seq, job with its NUL, payload); numbers little endian. */
uint32_t lt_row_crc(uint32_t before, uint64_t seq, const char *job, const void *payload,
                    size_t len);

#endif
