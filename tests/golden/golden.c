// Job files and what each must give: NAME.yaml beside NAME.plan.json or NAME.error, and NAME.jobs.json, the objects of
// Kubernetes, where its nodes are pods; and the pages that are made from
// the table of keys. MUSTER_GOLDEN_UPDATE=1 writes what is given now. Lines "# set: PATH=VALUE" and "# site: YAML" at
// the start of a job file are its options.
#include "base/error.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "event_list.h"
#include "job/job.h"
#include "job/plan.h"
#include "job/plan_make.h"
#include "job/site_file.h"
#include "kube/manifest.h"
#include "reference.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static int tests, failures;
static bool update;

static void report(const char *name, bool ok)
{
	tests++;
	failures += !ok;
	printf("%sok %d - %s\n", ok ? "" : "not ", tests, name);
	fflush(stdout);
}

// Prints how the file differs from the text, as TAP comments.
static void show_diff(const char *path, const char *text)
{
	autofree char *command = mem_printf("diff -u '%s' - | sed 's/^/# /'", fs_exists(path) ? path : "/dev/null");
	FILE *diff = popen(command, "w");
	if (!diff)
		return;
	fputs(text, diff);
	pclose(diff);
}

static void compare(const char *name, const char *path, const char *text)
{
	struct error err;
	if (update) {
		report(name, !fs_write(path, text, strlen(text), 0644, &err));
		return;
	}
	autofree char *expected = fs_read(path, 64 << 20, NULL, &err);
	bool ok = expected && strcmp(expected, text) == 0;
	report(name, ok);
	if (!ok)
		show_diff(path, text);
}

struct options {
	char *sets[16];
	size_t nsets;
	char *site;
};

// The value of "# KEY: VALUE" when line is one, owned by the caller.
static char *option(const char *line, const char *key)
{
	autofree char *start = mem_printf("# %s: ", key);
	if (!str_starts(line, start))
		return NULL;
	line += strlen(start);
	return mem_strndup(line, strcspn(line, "\n"));
}

static void read_options(const char *text, struct options *options)
{
	for (; *text == '#'; text += strcspn(text, "\n") + 1) {
		char *set = option(text, "set"), *site = option(text, "site");
		if (set && options->nsets < countof(options->sets))
			options->sets[options->nsets++] = set;
		if (site)
			options->site = site;
		if (!text[strcspn(text, "\n")])
			break;
	}
}

static json_t *plan_of(const char *text, size_t len, const char *name, struct error *err)
{
	struct options options = {0};
	read_options(text, &options);
	autojson json_t *site =
		options.site ? site_file_parse(options.site, strlen(options.site), "site.yaml", err) : NULL;
	struct job *job = NULL;
	if (!options.site || site)
		job = job_parse(text, len, name, (const char *const *)options.sets, options.nsets, err);
	json_t *plan = job ? plan_make(job, site, "/home/user/jobs", err) : NULL;
	job_free(job);
	for (size_t i = 0; i < options.nsets; i++)
		free(options.sets[i]);
	free(options.site);
	return plan;
}

static char *pretty(const json_t *tree)
{
	autofree char *text = json_dumps(tree, JSON_INDENT(2) | JSON_REAL_PRECISION(12));
	return mem_printf("%s\n", text);
}

// The Jobs of a plan, one for each role, with a stand-in for what brings the agent.
static json_t *jobs_of(const json_t *plan)
{
	autojson json_t *agent = mem_json("{s:[{s:s, s:{}}], s:{s:s}, s:[{s:s, s:s}], s:[s, s]}", "volumes", "name",
		"muster", "emptyDir", "nodeSelector", "kubernetes.io/arch", "amd64", "volumeMounts", "name", "muster",
		"mountPath", "/.muster", "command", "/.muster/agent", "pause");
	autofree char *run = mem_printf("%s-0123abcd", plan_name(plan));
	struct manifest m = {.plan = plan, .label = run, .agent = agent, .agent_label = "0123456789abcdef"};
	json_t *nodes = json_array();
	for (size_t i = 0; i < plan_nodes(plan); i++)
		json_array_append_new(nodes, json_integer((json_int_t)i));
	size_t before = 0;
	json_t *jobs = manifest_make(&m, nodes, &before, NULL);
	json_decref(nodes);
	return jobs;
}

static void check_jobs_of_pods(const char *stem, const char *name, const json_t *plan)
{
	if (!plan_kubernetes(plan))
		return;
	autofree char *path = mem_printf("%s.jobs.json", stem), *title = mem_printf("%s: Jobs", name);
	autojson json_t *jobs = jobs_of(plan);
	autofree char *text = pretty(jobs);
	compare(title, path, text);
}

static void check_job(const char *dir, const char *name)
{
	struct error err = {0};
	size_t len;
	autofree char *path = fs_join(dir, name);
	autofree char *text = fs_read(path, 64 << 20, &len, &err);
	autojson json_t *plan = text ? plan_of(text, len, name, &err) : NULL;
	autofree char *stem = mem_strndup(path, strlen(path) - strlen(".yaml"));
	autofree char *expected = mem_printf("%s.%s", stem, plan ? "plan.json" : "error");
	autofree char *other = mem_printf("%s.%s", stem, plan ? "error" : "plan.json");
	autofree char *given = plan ? pretty(plan) : mem_printf("%s\n", err.text);
	if (update)
		remove(other);
	else if (!plan && err.code != ERROR_USAGE)
		printf("# the code of the error is %d\n", err.code);
	compare(name, expected, given);
	if (plan)
		check_jobs_of_pods(stem, name, plan);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void check_jobs(const char *dir)
{
	char *names[1000];
	size_t count = 0;
	DIR *d = opendir(dir);
	for (struct dirent *entry; d && (entry = readdir(d));)
		if (str_ends(entry->d_name, ".yaml") && count < countof(names))
			names[count++] = mem_strdup(entry->d_name);
	if (d)
		closedir(d);
	qsort(names, count, sizeof *names, by_name);
	for (size_t i = 0; i < count; i++) {
		check_job(dir, names[i]);
		free(names[i]);
	}
	report("there are job files", count > 0);
}

static void check_schema(const char *doc)
{
	autofree char *path = fs_join(doc, "job.schema.json");
	autojson json_t *schema = job_schema();
	autofree char *text = pretty(schema);
	compare("job.schema.json is what the table gives", path, text);
}

static void check_page(
	const char *dir, const char *file, char *(*fill)(const char *page, struct error *err), const char *name)
{
	struct error err = {0};
	autofree char *path = fs_join(dir, file);
	autofree char *page = fs_read(path, 1 << 20, NULL, &err);
	autofree char *fresh = page ? fill(page, &err) : NULL;
	if (fresh)
		compare(name, path, fresh);
	else
		printf("not ok %d - %s\n# %s\n", ++tests, name, err.text);
	failures += !fresh;
}

static char *fill_keys(const char *page, struct error *err)
{
	return reference_fill(page, &job_fields_job, err);
}

int main(int argc, char **argv)
{
	if (argc != 3) {
		fprintf(stderr, "usage: golden GOLDEN-DIRECTORY DOC-DIRECTORY\n");
		return 2;
	}
	const char *wish = getenv("MUSTER_GOLDEN_UPDATE");
	update = wish && strcmp(wish, "1") == 0;
	check_jobs(argv[1]);
	check_schema(argv[2]);
	check_page(argv[2], "jobfile.md", fill_keys, "jobfile.md has the table's keys");
	check_page(argv[2], "jobfile.md", reference_fill_placeholders, "jobfile.md has the table's placeholders");
	check_page(argv[2], "events.md", event_list_fill, "events.md has the table's types");
	printf("1..%d\n", tests);
	return failures != 0;
}
