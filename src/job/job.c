#include "job/job.h"

#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "job/hosts.h"
#include "job/inventory.h"
#include "job/schema.h"
#include "job/set_option.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

json_t *job_schema(void)
{
	return schema_make(&job_fields_job, "muster job file");
}

// "runs/My Job.yaml" is "my-job".
static char *name_of(const char *path)
{
	enum { MAX = 40 };
	const char *base = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	const char *dot = strrchr(base, '.');
	size_t len = dot && dot > base ? (size_t)(dot - base) : strlen(base);
	autostr struct str s = {0};
	for (size_t i = 0; i < len && s.len < MAX; i++) {
		char c = (char)tolower((unsigned char)base[i]);
		if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
			str_add(&s, &c, 1);
		else if (s.len && s.text[s.len - 1] != '-')
			str_puts(&s, "-");
	}
	while (s.len && s.text[s.len - 1] == '-')
		s.text[--s.len] = 0;
	if (!s.len)
		str_puts(&s, "job");
	return str_steal(&s);
}

static int check_commands(const struct job *job, struct error *err)
{
	const struct job_role *roles = job->cluster.roles.items;
	const struct yaml *node = job->run.place.node;
	if (job->run.command.words.count)
		return 0;
	if (!job->cluster.roles.count)
		return yaml_error(node, err, "found no 'run.command', expected the command that each rank runs");
	for (size_t i = 0; i < job->cluster.roles.count; i++)
		if (!roles[i].command.words.count)
			return yaml_error(node, err,
				"found no 'run.command', expected one for the role '%s', which has no 'command' of its "
				"own",
				roles[i].place.name);
	return 0;
}

static int check_stop(const struct job_stop *stop, struct error *err)
{
	if (!stop->within || strtod(stop->within, NULL) > 0)
		return 0;
	return yaml_error(
		yaml_find(stop->place.node, "within"), err, "found '%s', expected a percentage above 0", stop->within);
}

// Each step is of one kind.
static int check_setup(const struct job *job, struct error *err)
{
	const struct job_setup *steps = job->setup.items;
	for (size_t i = 0; i < job->setup.count; i++) {
		const struct yaml *node = steps[i].place.node;
		bool run = steps[i].run.words.count;
		int kinds = run + (steps[i].packages.count > 0) + (steps[i].mounts.count > 0);
		if (kinds != 1)
			return yaml_error(node, err,
				"found %s in 'setup[%zu]', expected one of 'run', 'packages' and 'mounts'",
				kinds ? "more than one step" : "no step", i);
		if (steps[i].creates && !run)
			return yaml_error(yaml_find(node, "creates"), err,
				"found 'creates' without 'run', expected it only beside 'run'");
	}
	return 0;
}

static int check_container(const struct job *job, struct error *err)
{
	const struct job_container *c = &job->run.container;
	const struct yaml *node = c->place.node;
	if (!node)
		return 0;
	if (c->image && c->build.context)
		return yaml_error(yaml_find(node, "image"), err,
			"found both 'image' and 'build' in 'run.container', expected one of them");
	if (!c->image && !c->build.context)
		return yaml_error(
			node, err, "found neither 'image' nor 'build' in 'run.container', expected one of them");
	if (job->run.mpi == JOB_MPI_OPENMPI)
		return yaml_error(yaml_find(job->run.place.node, "mpi"), err,
			"found 'run.mpi: openmpi' with 'run.container', expected a program of the MPICH family: Open "
			"MPI starts ranks by daemons of "
			"its own, which are outside of the container; 'executor: docker' serves it");
	return 0;
}

// "FILE" as seen from the job file.
static char *beside(const char *job, const char *file)
{
	const char *slash = strrchr(job, '/');
	return slash && *file != '/' ? mem_printf("%.*s/%s", (int)(slash - job), job, file) : mem_strdup(file);
}

// file: the job file, also where `--set` names the inventory: that is as if it stood there.
static int read_inventory(const char *file, struct job_cluster *cluster, const struct yaml *node, struct error *err)
{
	autofree char *path = beside(file, cluster->inventory);
	struct error why = {0};
	size_t len;
	autofree char *text = fs_read(path, INVENTORY_MAX_BYTES, &len, &why);
	if (!text)
		return yaml_error(node, err, "%s", why.text);
	cluster->list = inventory_parse(text, len, path, cluster->group, err);
	return cluster->list ? 0 : -1;
}

// The hosts that the cluster names, by itself or by a file.
static int list_hosts(struct job *job, struct error *err)
{
	struct job_cluster *cluster = &job->cluster;
	const struct yaml *hosts = cluster->place.node ? yaml_find(cluster->place.node, "hosts") : NULL;
	const struct yaml *inventory = cluster->place.node ? yaml_find(cluster->place.node, "inventory") : NULL;
	if (cluster->hosts.count && inventory)
		return yaml_error(
			inventory, err, "found both 'cluster.hosts' and 'cluster.inventory', expected one of them");
	if ((cluster->hosts.count || inventory) && !cluster->traits->takes_hosts) {
		autofree char *expected = executor_traits_that_take_hosts();
		return yaml_error(hosts ? hosts : inventory, err, "found hosts for the executor '%s', expected %s",
			cluster->executor, expected);
	}
	if (cluster->group && !inventory)
		return yaml_error(yaml_find(cluster->place.node, "group"), err,
			"found 'cluster.group' without 'cluster.inventory', expected both");
	if (inventory)
		return read_inventory(job->sources[0], cluster, inventory, err);
	if (cluster->hosts.count)
		cluster->list = json_array();
	for (size_t i = 0; i < cluster->hosts.count; i++) {
		struct error why = {0};
		if (hosts_add(cluster->list, cluster->hosts.items[i], &why))
			return yaml_error(hosts->entries[i].value, err, "%s", why.text);
	}
	return 0;
}

static int find_executor(struct job_cluster *cluster, struct error *err)
{
	struct error why = {0};
	cluster->traits = executor_traits_find(cluster->executor, &why);
	return cluster->traits ? 0 : yaml_error(yaml_find(cluster->place.node, "executor"), err, "%s", why.text);
}

// What involves more than one key.
static int check(struct job *job, const struct field_shape *as, struct error *err)
{
	const struct job_cluster *cluster = &job->cluster;
	if (cluster->roles.count && cluster->nodes >= 0)
		return yaml_error(yaml_find(cluster->place.node, "nodes"), err,
			"found both 'cluster.nodes' and 'cluster.roles', expected one of them");
	if (cluster->image && cluster->build.context)
		return yaml_error(yaml_find(cluster->place.node, "image"), err,
			"found both 'cluster.image' and 'cluster.build', expected one of them");
	if (find_executor(&job->cluster, err) || list_hosts(job, err))
		return -1;
	if (as == &job_fields_cluster_file)
		return 0;
	if (check_commands(job, err))
		return -1;
	if (check_setup(job, err))
		return -1;
	if (check_container(job, err))
		return -1;
	if (check_stop(&job->stop, err) || check_stop(&job->sweep.stop, err))
		return -1;
	const struct yaml *mpi = yaml_find(job->run.place.node, "mpi");
	if (mpi && job->run.launch != JOB_MPI)
		return yaml_error(mpi, err, "found 'run.mpi' with 'launch: %s', expected it only with 'launch: mpi'",
			job_fields_launches[job->run.launch]);
	const struct job_metric *metrics = job->metrics.items;
	for (size_t i = 0; i < job->metrics.count; i++)
		for (size_t k = 0; k < i; k++)
			if (strcmp(metrics[i].name, metrics[k].name) == 0)
				return yaml_error(yaml_find(metrics[i].place.node, "name"), err,
					"found the metric '%s' a second time, expected each name once",
					metrics[i].name);
	return 0;
}

static int fill(struct job *job, const struct field_shape *as, const char *text, size_t len, const char *name,
	const char *const *sets, size_t nsets, struct error *err)
{
	job->sources = mem_alloc((nsets + 1) * sizeof *job->sources);
	job->sources[job->nsources++] = mem_strdup(name);
	job->tree = yaml_parse(text, len, &(struct yaml_origin){job->sources[0], 1, 1}, err);
	if (!job->tree)
		return -1;
	if (job->tree->kind != YAML_MAP) {
		autofree char *found = yaml_describe(job->tree);
		return yaml_error(job->tree, err, "found %s, expected a map of keys and values", found);
	}
	for (size_t i = 0; i < nsets; i++) {
		char *source = job->sources[job->nsources++] = set_option_name(sets[i]);
		if (set_option_apply(as, job->tree, sets[i], source, err))
			return -1;
	}
	if (field_read(as, job->tree, "", job, err))
		return -1;
	if (!job->name)
		job->name = name_of(name);
	return check(job, as, err);
}

static struct job *parse(const struct field_shape *as, const char *text, size_t len, const char *name,
	const char *const *sets, size_t nsets, struct error *err)
{
	struct job *job = mem_alloc(sizeof *job);
	if (!fill(job, as, text, len, name, sets, nsets, err))
		return job;
	job_free(job);
	return NULL;
}

struct job *job_parse(
	const char *text, size_t len, const char *name, const char *const *sets, size_t nsets, struct error *err)
{
	return parse(&job_fields_job, text, len, name, sets, nsets, err);
}

struct job *job_parse_cluster(
	const char *text, size_t len, const char *name, const char *const *sets, size_t nsets, struct error *err)
{
	return parse(&job_fields_cluster_file, text, len, name, sets, nsets, err);
}

int job_on(struct job *job, const char *cluster, size_t nodes, int share, struct error *err)
{
	const struct job_role *roles = job->cluster.roles.items;
	size_t wanted = job->cluster.nodes < 0 ? 0 : (size_t)job->cluster.nodes;
	for (size_t i = 0; i < job->cluster.roles.count; i++)
		wanted += (size_t)roles[i].nodes;
	if (wanted > nodes)
		return yaml_error(job->cluster.place.node ? job->cluster.place.node : job->tree, err,
			"found %zu nodes, expected at most %zu: so many has the cluster '%s' (`muster scale %s %zu`)",
			wanted, nodes, cluster, cluster, wanted);
	if (!wanted)
		job->cluster.nodes = (long)nodes;
	json_decref(steal(job->cluster.list)); // it is on other hosts
	free(job->cluster.executor);
	job->cluster.traits = &executor_traits_attached;
	job->cluster.executor = mem_strdup(job->cluster.traits->name);
	free(job->on);
	job->on = mem_strdup(cluster);
	job->share = share;
	return 0;
}

struct job *job_load(const char *path, const char *const *sets, size_t nsets, struct error *err)
{
	size_t len;
	autofree char *text = fs_read(path, YAML_MAX_BYTES, &len, err);
	if (text)
		return job_parse(text, len, path, sets, nsets, err);
	if (err)
		err->code = ERROR_USAGE;
	return NULL;
}

void job_free(struct job *job)
{
	if (!job)
		return;
	field_free(&job_fields_job, job);
	field_free(&job_fields_cluster_file, &(struct job){.actions = job->actions});
	free(job->on);
	json_decref(job->cluster.list);
	yaml_discard(job->tree);
	for (size_t i = 0; i < job->nsources; i++)
		free(job->sources[i]);
	free(job->sources);
	free(job);
}
