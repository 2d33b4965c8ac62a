#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "cmd/cmd.h"
#include "cmd/live_target.h"
#include "cmd/options.h"
#include "cmd/start_and_follow.h"
#include "exec/executor.h"
#include "job/job.h"
#include "job/plan.h"
#include "job/plan_make.h"
#include "job/site_file.h"
#include "job/yaml.h"
#include "run/clusters.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const struct options_usage usage = {
	.arguments = "FILE|NAME",
	.least = 1,
	.most = 1,
	.about = "Starts a persistent cluster from a cluster file. It stays up for `muster run JOB --on NAME`, exec, "
		 "cp and action until `muster down NAME`.\n\n"
		 "With the NAME of a cluster: starts its lost nodes again, and its controller if that is gone. An "
		 "argument that ends with .yaml or .yml or contains a '/' is a file.",
};

static bool is_file(const char *text)
{
	return strchr(text, '/') || str_ends(text, ".yaml") || str_ends(text, ".yml");
}

// --- a new one -----------------------------------------------------------------

struct wish {
	const char *file, *name, *site;
	bool quiet;
	char *text;
	size_t len;
	struct job *job;
	json_t *plan;
};

static int load(struct wish *w, struct error *err)
{
	w->text = fs_read(w->file, YAML_MAX_BYTES, &w->len, err);
	if (!w->text) {
		err->code = ERROR_USAGE;
		return -1;
	}
	w->job = job_parse_cluster(w->text, w->len, w->file, NULL, 0, err);
	autojson json_t *site = w->job && w->site ? site_file_load(w->site, err) : NULL;
	if (!w->job || (w->site && !site))
		return -1;
	autofree char *path = fs_absolute(w->file, err);
	if (!path)
		return -1;
	char *slash = strrchr(path, '/');
	slash[slash == path] = 0;
	w->plan = plan_make_cluster(w->job, site, path, err);
	return w->plan ? 0 : -1;
}

static int bring_up(const struct wish *w, const char *name, struct error *err)
{
	const struct executor *executor = executor_find(plan_executor(w->plan), err);
	if (!executor || executor->check(w->plan, err) < 0)
		return -1;
	struct run *run = clusters_create(name, w->text, w->len, w->plan, err);
	if (!run)
		return -1;
	struct start_and_follow_options options = {
		.controller = {.run = run, .plan = w->plan, .executor = executor, .persistent = true},
		.quiet = w->quiet};
	int status = start_and_follow(&options, err);
	bool lives = run_alive(run, NULL);
	run_free(run);
	if (status != 0 && !lives)
		clusters_remove(name, NULL);
	if (status == 0 && !w->quiet)
		printf("cluster %s is up; `muster run JOB --on %s`, `muster ls`, `muster down %s`\n", name, name, name);
	return status;
}

static int up_file(struct wish *w, struct error *err)
{
	int status = load(w, err) < 0 ? -1 : 0;
	const char *name = w->name ? w->name : w->job ? w->job->name : "";
	if (status == 0 && (!clusters_is_name(name) || strcmp(name, "latest") == 0))
		status = error_set(err, ERROR_USAGE,
			"up: found the name '%s', expected at most 40 lower-case letters, digits and '-'", name);
	if (status == 0)
		status = bring_up(w, name, err);
	job_free(w->job);
	json_decref(w->plan);
	mem_cleanup_free(&w->text);
	return status;
}

// --- one that is there ----------------------------------------------------------

static int up_again(const char *name, bool quiet, struct error *err)
{
	struct live_target t;
	if (live_target_open_cluster(&t, name, err) < 0)
		return -1;
	autojson json_t *request = mem_json("{s:s, s:i}", "msg", "resize", "nodes", 0);
	autojson json_t *answer = live_target_ask(&t, request, err);
	if (answer && !quiet)
		printf("cluster %s is up: %lld nodes\n", name, json_integer_value(json_object_get(answer, "nodes")));
	live_target_close(&t);
	return answer ? 0 : -1;
}

int cmd_up(int argc, char **argv, struct error *err)
{
	struct wish w = {0};
	const struct option_row rows[] = {
		{"name", 'n', "NAME", "name of the cluster (default: `name` in the file, or the file's name)", &w.name},
		{"site", 0, "FILE", "defaults of this site: deadline, heartbeat, grace", &w.site},
		OPTIONS_QUIET(&w.quiet),
		{0},
	};
	int first = options_parse(argc, argv, &usage, rows, err);
	if (first <= 0)
		return first;
	const char *what = argv[first];
	if (!is_file(what))
		return up_again(what, w.quiet, err);
	w.file = what;
	return up_file(&w, err);
}
