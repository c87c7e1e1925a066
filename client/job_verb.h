/* job_verb.h - verbs that send one request about each of their jobs */
#ifndef LT_CLIENT_JOB_VERB_H
#define LT_CLIENT_JOB_VERB_H

struct lt_ctl;

/* Calls method for every argument; notes "ID SAYS" on a terminal. The first failure's exit code. */
int lt_job_verb(struct lt_ctl *ctl, const char *method, const char *says);

#endif
