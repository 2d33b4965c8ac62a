#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "run/clusters.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const struct options_usage usage = {
	.arguments = "NAME",
	.least = 1,
	.most = 1,
	.about = "Prints the nodes of a persistent cluster as a file for other tools.\n\n"
		 "Formats: machinefile (one address per line, for mpirun), hosts (as /etc/hosts), ansible (an INI "
		 "inventory).",
};

static void print_machine(const json_t *node, const char *cluster)
{
	printf("%s\n", json_text(node, "address"));
}

static void print_host(const json_t *node, const char *cluster)
{
	const char *name = json_text(node, "name"), *address = json_text(node, "address");
	printf("%s\t%s-%ld%s%s\n", address, cluster, json_whole(node, "node"), strcmp(name, address) ? " " : "",
		strcmp(name, address) ? name : "");
}

// A host that ssh reaches is called what the user calls it: its address may be one that only the nodes see.
static void print_ansible(const json_t *node, const char *cluster)
{
	const json_t *host = json_object_get(node, "host");
	printf("%s-%ld ansible_host=%s", cluster, json_whole(node, "node"),
		host ? json_text(host, "host") : json_text(node, "address"));
	if (json_text(host, "user"))
		printf(" ansible_user=%s", json_text(host, "user"));
	if (json_whole(host, "port") > 0)
		printf(" ansible_port=%ld", json_whole(host, "port"));
	if (json_text(host, "key"))
		printf(" ansible_ssh_private_key_file='%s'", json_text(host, "key"));
	printf(" node_rank=%ld\n", json_whole(node, "node"));
}

static const struct format {
	const char *name;
	void (*print)(const json_t *node, const char *cluster);
	bool group; // under the cluster's name
} formats[] = {
	{"machinefile", print_machine, false},
	{"hosts", print_host, false},
	{"ansible", print_ansible, true},
};

static const struct format *find_format(const char *name, struct error *err)
{
	autostr struct str list = {0};
	for (size_t i = 0; i < countof(formats); i++) {
		if (strcmp(formats[i].name, name) == 0)
			return &formats[i];
		str_printf(&list, "%s%s", i ? ", " : "", formats[i].name);
	}
	error_set(err, ERROR_USAGE, "hosts: found --format '%s', expected one of %s", name, list.text);
	return NULL;
}

static int print(const struct format *format, const char *name, const json_t *status, struct error *err)
{
	size_t i;
	json_t *node;
	json_array_foreach (json_object_get(status, "nodes"), i, node)
		if (!json_text(node, "address"))
			return error_set(err, ERROR_SYSTEM,
				"node %zu of the cluster '%s' has no address yet; see `muster ls %s`", i, name, name);
	if (format->group)
		printf("[%s]\n", name);
	json_array_foreach (json_object_get(status, "nodes"), i, node)
		format->print(node, name);
	return 0;
}

int cmd_hosts(int argc, char **argv, struct error *err)
{
	const char *wanted = "machinefile";
	const struct option_row rows[] = {
		{"format", 'f', "FORMAT", "machinefile, hosts or ansible (default: machinefile)", &wanted},
		{0},
	};
	int first = options_parse(argc, argv, &usage, rows, err);
	if (first <= 0)
		return first;
	const char *name = argv[first];
	const struct format *format = find_format(wanted, err);
	autojson json_t *status = format ? clusters_find_status(name, err) : NULL;
	return status ? print(format, name, status, err) : -1;
}
