// The command line: the table of subcommands, the one place that prints an error, the exit status.
#include "base/did_you_mean.h"
#include "base/error.h"
#include "base/mem.h"
#include "cmd/cmd.h"
#include "exec/executor.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv, struct error *err);
	const char *help;
} commands[] = {
	{"run", cmd_run, "run a job on a temporary cluster, then remove the cluster"},
	{"plan", cmd_plan, "print what a run would do, and do nothing"},
	{"status", cmd_status, "show the state of a run"},
	{"logs", cmd_logs, "print the output of a run's ranks"},
	{"report", cmd_report, "show the report of a run"},
	{"list", cmd_list, "list the runs, newest first"},
	{"sweep", cmd_sweep, "run a job once for each point of a parameter sweep"},
	{"compare", cmd_compare, "compare the clusters of a sweep, or runs of one job"},
	{"choose", cmd_choose, "choose a cluster for a deadline or a budget, write its job file"},
	{"prices", cmd_prices, "show the price list"},
	{"export", cmd_export, "pack a run into one file, a bundle"},
	{"rerun", cmd_rerun, "repeat the run of a bundle and compare the results"},
	{"predict", cmd_predict, "predict how long a run takes, from its first iterations"},
	{"attach", cmd_attach, "follow a run that is in progress"},
	{"cancel", cmd_cancel, "stop a run"},
	{"exec", cmd_exec, "run a command on the nodes of a run or a persistent cluster"},
	{"up", cmd_up, "start a persistent cluster, or its lost nodes again"},
	{"ls", cmd_ls, "list the persistent clusters and their nodes"},
	{"hosts", cmd_hosts, "print the nodes of a persistent cluster as a file for other tools"},
	{"cp", cmd_cp, "copy files to or from the nodes of a persistent cluster"},
	{"scale", cmd_scale, "change the number of nodes of a persistent cluster"},
	{"action", cmd_action, "run an action of a persistent cluster's file"},
	{"down", cmd_down, "stop a persistent cluster and remove its nodes"},
	{"reap", cmd_reap, "remove what killed runs have left behind"},
	{"doctor", cmd_doctor, "check what works on this machine and what is missing"},
	{"agent", cmd_agent, "run the agent of a node (started by executors)"},
	{"version", cmd_version, "print the version"},
};

static void print_help(void)
{
	puts("usage: muster COMMAND [ARGUMENT]...\n");
	for (size_t i = 0; i < countof(commands); i++)
		printf("  %-8s  %s\n", commands[i].name, commands[i].help);
	puts("\n`muster COMMAND --help` and `man muster` describe the commands.");
}

static const struct command *find_command(const char *name, struct error *err)
{
	const char *names[countof(commands) + 1] = {0};
	for (size_t i = 0; i < countof(commands); i++) {
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
		names[i] = commands[i].name;
	}
	autofree char *hint = did_you_mean_text(", ", did_you_mean(name, names), "");
	error_set(err, ERROR_USAGE, "unknown command '%s'%s; `muster --help` lists all commands", name, hint);
	return NULL;
}

int main(int argc, char **argv)
{
	struct error err = {0};
	executor_init();
	if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
		print_help();
		return argc < 2 ? ERROR_USAGE : 0;
	}
	if (strcmp(argv[1], "--version") == 0)
		argv[1] = "version";
	const struct command *command = find_command(argv[1], &err);
	int status = command ? command->run(argc - 1, argv + 1, &err) : -1;
	if (status >= 0)
		return status;
	fprintf(stderr, "muster: %s\n", err.text);
	return err.code ? err.code : ERROR_SYSTEM;
}
