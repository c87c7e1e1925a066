/* poke.h - tells the agent that the journal grew, as the engine does */
#ifndef LT_TESTS_NODE_POKE_H
#define LT_TESTS_NODE_POKE_H

void poke_agent(const char *attempt_dir);

#endif
