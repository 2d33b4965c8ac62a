#include "base/process_mark.h"

#include "base/fs.h"
#include "base/mem.h"
#include "base/proc.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

char *process_mark_machine(void)
{
	autofree char *boot = fs_read("/proc/sys/kernel/random/boot_id", 4096, NULL, NULL);
	char space[64] = "";
	if (!boot || readlink("/proc/self/ns/pid", space, sizeof space - 1) < 0)
		return mem_strdup("?");
	boot[strcspn(boot, "\n")] = 0;
	return mem_printf("%s %s", boot, space);
}

char *process_mark_own(void)
{
	return mem_printf("%d %llu", (int)getpid(), proc_started(getpid()));
}

bool process_mark_is_live(const char *machine, const char *own, json_t **process)
{
	autofree char *here = process_mark_machine();
	int pid = 0;
	unsigned long long started = 0;
	*process = NULL;
	if (strcmp(machine, here) != 0 || sscanf(own, "%d %llu", &pid, &started) != 2)
		return true;
	*process = mem_json("{s:i, s:I}", "pid", pid, "started", (json_int_t)started);
	return proc_alive(pid, started);
}
