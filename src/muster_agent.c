// The agent's executable: static, so that it runs on any x86-64 Linux, in an empty root too. It has no options: see agent/agent.h.
#include "agent/agent.h"

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "--version") == 0) {
		puts("muster-agent " MUSTER_VERSION);
		return 0;
	}
	return agent_main();
}
