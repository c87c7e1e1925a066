/* log.h - structured lines on stderr: 2026-01-31T12:00:00.123Z level component: message
 *
 * Thread-safe: one write(2) a line.
 */
#ifndef LT_SYS_LOG_H
#define LT_SYS_LOG_H

enum lt_log_level { LT_LOG_DEBUG, LT_LOG_INFO, LT_LOG_WARNING, LT_LOG_ERROR, LT_LOG_N };

void lt_log_init(const char *component, enum lt_log_level least);
/* "debug", "info", "warning", "error"; -EINVAL otherwise. */
int lt_log_level_parse(const char *name, enum lt_log_level *out);
void lt_log(enum lt_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
#define lt_debug(...) lt_log(LT_LOG_DEBUG, __VA_ARGS__)
#define lt_info(...) lt_log(LT_LOG_INFO, __VA_ARGS__)
#define lt_warning(...) lt_log(LT_LOG_WARNING, __VA_ARGS__)
#define lt_err(...) lt_log(LT_LOG_ERROR, __VA_ARGS__)

#endif
