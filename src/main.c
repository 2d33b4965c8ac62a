// The command line: the table of subcommands, the one place that prints an error, the exit status.
#include "base/did_you_mean.h"
#include "base/error.h"
#include "base/mem.h"
#include "cmd/cmd.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv, struct error *err);
	const char *help;
} commands[] = {
	{"run", cmd_run, "run a job: bring a cluster together, launch, collect, leave nothing"},
	{"plan", cmd_plan, "print what a run would do, and do nothing"},
	{"status", cmd_status, "how a run is doing"},
	{"logs", cmd_logs, "what the ranks of a run print"},
	{"report", cmd_report, "what a run was"},
	{"list", cmd_list, "the runs, newest first"},
	{"sweep", cmd_sweep, "run a job at many points, to compare them"},
	{"compare", cmd_compare, "which cluster is faster, cheaper, and whether it differs at all"},
	{"choose", cmd_choose, "the cluster for a deadline or a budget, and its job file"},
	{"prices", cmd_prices, "what nodes are taken to cost"},
	{"export", cmd_export, "a run in one file"},
	{"rerun", cmd_rerun, "do the run of such a file again, and compare"},
	{"predict", cmd_predict, "how long a whole run takes, from its first iterations"},
	{"attach", cmd_attach, "follow a run that goes on"},
	{"cancel", cmd_cancel, "stop a run"},
	{"exec", cmd_exec, "run a command inside a live node"},
	{"up", cmd_up, "bring a cluster up that stays, for any number of jobs"},
	{"ls", cmd_ls, "the clusters that are up, their nodes and what they have run"},
	{"hosts", cmd_hosts, "the nodes of such a cluster, as a file for other tools"},
	{"cp", cmd_cp, "copy files to and from the nodes of such a cluster"},
	{"scale", cmd_scale, "give such a cluster more nodes or fewer"},
	{"action", cmd_action, "run the commands its file lists"},
	{"down", cmd_down, "end such a cluster"},
	{"reap", cmd_reap, "remove what a killed run left"},
	{"doctor", cmd_doctor, "what works on this machine and what is missing"},
	{"agent", cmd_agent, "be a node's agent (for executors)"},
	{"version", cmd_version, "print the version"},
};

static void print_help(void)
{
	puts("usage: muster COMMAND [ARGUMENT]...\n");
	for (size_t i = 0; i < countof(commands); i++)
		printf("  %-8s  %s\n", commands[i].name, commands[i].help);
	puts("\n`muster COMMAND --help` says more; so does `man muster`.");
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
