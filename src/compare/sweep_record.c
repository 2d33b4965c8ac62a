#include "compare/sweep_record.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "report/report.h"
#include "run/run.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SWEEP_BYTES = 256 << 20 };

static int save(const struct sweep_record *t, struct error *err)
{
	autofree char *path = fs_join(t->dir, "sweep.json"), *text = json_dumps(t->tree, JSON_INDENT(1));
	return fs_write(path, text, strlen(text), 0644, err);
}

static json_t *load(const char *dir, struct error *err)
{
	autofree char *path = fs_join(dir, "sweep.json");
	size_t len;
	autofree char *text = fs_read(path, SWEEP_BYTES, &len, err);
	json_error_t why;
	json_t *tree = text ? json_loadb(text, len, 0, &why) : NULL;
	if (text && !json_is_array(json_object_get(tree, "trials"))) {
		error_set(err, ERROR_SYSTEM, "%s is not a sweep record", path);
		json_decref(tree);
		return NULL;
	}
	return tree;
}

// --- beginning ------------------------------------------------------------------

// A small generator of its own (xorshift, Marsaglia 2003), so that a seed gives the same order everywhere.
static size_t below(unsigned long long *state, size_t limit)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return (size_t)((*state >> 11) % limit);
}

static json_t *deal(size_t points, size_t rounds, unsigned long seed)
{
	json_t *list = json_array();
	autofree size_t *order = mem_alloc(points * sizeof *order);
	unsigned long long state = 0x9e3779b97f4a7c15ULL ^ ((unsigned long long)seed + 1) * 0xbf58476d1ce4e5b9ULL;
	for (size_t round = 0; round < rounds; round++) {
		for (size_t i = 0; i < points; i++)
			order[i] = i;
		for (size_t i = points; i-- > 1;) {
			size_t k = below(&state, i + 1), kept = order[i];
			order[i] = order[k];
			order[k] = kept;
		}
		for (size_t i = 0; i < points; i++)
			json_array_append_new(list, mem_json("{s:I, s:I, s:n, s:n}", "point", (json_int_t)order[i],
							    "round", (json_int_t)round, "run", "outcome"));
	}
	return list;
}

static int take_lock(struct sweep_record *t, struct error *err)
{
	autofree char *path = fs_join(t->dir, "lock");
	t->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (t->lock < 0)
		return error_errno(err, "cannot open %s", path);
	if (flock(t->lock, LOCK_EX | LOCK_NB) == 0)
		return 0;
	if (errno == EWOULDBLOCK)
		return error_set(err, ERROR_USAGE, "another process is running sweep %s", t->id);
	return error_errno(err, "cannot lock %s", path);
}

static int make(struct sweep_record *t, const char *name, const char *job_path, const char *job_text, json_t *sets,
	json_t *points, size_t rounds, unsigned long seed, struct error *err)
{
	autofree char *copy = fs_join(t->dir, "job.yaml"), *path = fs_absolute(job_path, err);
	if (!path || fs_write(copy, job_text, strlen(job_text), 0644, err) < 0)
		return -1;
	t->tree = mem_json("{s:i, s:s, s:s, s:s, s:f, s:O, s:O, s:o}", "sweep", 1, "id", t->id, "name", name, "job",
		path, "created", clock_wall(), "sets", sets, "points", points, "trials",
		deal(json_array_size(points), rounds, seed));
	return save(t, err);
}

static char *id_of(const char *name, const char *hash)
{
	return mem_printf("%s-%.8s", name, hash);
}

bool sweep_record_exist(const char *runs, const char *name, const char *hash)
{
	autofree char *id = id_of(name, hash), *path = mem_printf("%s/sweeps/%s/sweep.json", runs, id);
	return fs_exists(path);
}

struct sweep_record *sweep_record_begin(const char *runs, const char *name, const char *hash, const char *job_path,
	const char *job_text, json_t *sets, json_t *points, size_t rounds, unsigned long seed, struct error *err)
{
	struct sweep_record *t = mem_alloc(sizeof *t);
	t->id = id_of(name, hash);
	t->dir = mem_printf("%s/sweeps/%s", runs, t->id);
	t->runs = mem_strdup(runs);
	t->lock = -1;
	autofree char *path = fs_join(t->dir, "sweep.json");
	int rc = fs_mkdirs(t->dir, 0755, err);
	if (rc == 0)
		rc = take_lock(t, err);
	t->fresh = !fs_exists(path);
	if (rc == 0 && t->fresh)
		rc = make(t, name, job_path, job_text, sets, points, rounds, seed, err);
	else if (rc == 0)
		rc = (t->tree = load(t->dir, err)) ? 0 : -1;
	if (rc == 0)
		return t;
	sweep_record_free(t);
	return NULL;
}

// --- finding --------------------------------------------------------------------

struct found {
	char *id;
	double created;
};

static int newest_first(const void *a, const void *b)
{
	double x = ((const struct found *)a)->created, y = ((const struct found *)b)->created;
	return (x < y) - (x > y);
}

json_t *sweep_record_list(const char *runs)
{
	json_t *list = json_array();
	autofree char *top = fs_join(runs, "sweeps");
	DIR *dir = opendir(top);
	struct found *all = NULL;
	size_t count = 0;
	for (struct dirent *d; dir && (d = readdir(dir));) {
		autofree char *path = mem_printf("%s/%s/sweep.json", top, d->d_name);
		struct stat st;
		if (d->d_name[0] == '.' || stat(path, &st) < 0)
			continue;
		all = mem_resize(all, (count + 1) * sizeof *all);
		all[count++] = (struct found){
			mem_strdup(d->d_name), (double)st.st_mtim.tv_sec + (double)st.st_mtim.tv_nsec * 1e-9};
	}
	if (dir)
		closedir(dir);
	if (count)
		qsort(all, count, sizeof *all, newest_first);
	for (size_t i = 0; i < count; i++) {
		json_array_append_new(list, json_string(all[i].id));
		free(all[i].id);
	}
	free(all);
	return list;
}

static const char *pick(const json_t *ids, const char *name, const char *runs, struct error *err)
{
	const char *found = NULL;
	size_t i, count = 0;
	const json_t *id;
	if (!name || strcmp(name, "latest") == 0) {
		found = json_string_value(json_array_get(ids, 0));
		if (!found)
			error_set(err, ERROR_USAGE, "no sweep in %s/sweeps", runs);
		return found;
	}
	json_array_foreach (ids, i, id) {
		const char *text = json_string_value(id);
		if (strcmp(text, name) == 0)
			return text;
		if (strncmp(text, name, strlen(name)) != 0)
			continue;
		found = text;
		count++;
	}
	if (count == 1)
		return found;
	if (count)
		error_set(err, ERROR_USAGE, "%zu sweeps begin with '%s'", count, name);
	else
		error_set(err, ERROR_USAGE, "no sweep '%s' in %s/sweeps: expected an id, a prefix of one, or 'latest'",
			name, runs);
	return NULL;
}

struct sweep_record *sweep_record_open(const char *runs, const char *name, struct error *err)
{
	autojson json_t *ids = sweep_record_list(runs);
	const char *id = pick(ids, name, runs, err);
	if (!id)
		return NULL;
	struct sweep_record *t = mem_alloc(sizeof *t);
	*t = (struct sweep_record){.id = mem_strdup(id),
		.dir = mem_printf("%s/sweeps/%s", runs, id),
		.runs = mem_strdup(runs),
		.lock = -1};
	t->tree = load(t->dir, err);
	if (t->tree)
		return t;
	sweep_record_free(t);
	return NULL;
}

void sweep_record_free(struct sweep_record *t)
{
	if (!t)
		return;
	if (t->lock >= 0)
		close(t->lock);
	json_decref(t->tree);
	free(t->id);
	free(t->dir);
	free(t->runs);
	free(t);
}

// --- trials ---------------------------------------------------------------------

size_t sweep_record_count(const struct sweep_record *t)
{
	return json_count(t->tree, "trials");
}

json_t *sweep_record_get(const struct sweep_record *t, size_t i)
{
	return json_array_get(json_object_get(t->tree, "trials"), i);
}

const json_t *sweep_record_point(const struct sweep_record *t, size_t i)
{
	return json_array_get(json_object_get(t->tree, "points"), (size_t)json_number(sweep_record_get(t, i), "point"));
}

// The run may have ended after its sweep was killed: then it counts.
static void look(struct sweep_record *t, json_t *trial)
{
	struct run *run = run_open(t->runs, json_text(trial, "run"), NULL);
	json_t *brief = run ? report_brief(run, NULL) : NULL;
	const char *outcome = json_text(brief, "outcome");
	if (outcome && (strcmp(outcome, "ok") == 0 || strcmp(outcome, "failed") == 0)) {
		json_object_set(trial, "outcome", json_object_get(brief, "outcome"));
		json_object_set(trial, "why", json_object_get(brief, "why"));
		json_object_set(trial, "seconds", json_object_get(brief, "seconds"));
	}
	json_decref(brief);
	run_free(run);
}

size_t sweep_record_next(struct sweep_record *t, size_t i)
{
	for (; i < sweep_record_count(t); i++) {
		json_t *trial = sweep_record_get(t, i);
		if (json_text(trial, "run") && !json_has(trial, "outcome"))
			look(t, trial);
		if (!json_has(trial, "outcome"))
			return i;
	}
	return i;
}

int sweep_record_set_run(struct sweep_record *t, size_t i, const char *run, struct error *err)
{
	json_object_set_new(sweep_record_get(t, i), "run", json_string(run));
	return save(t, err);
}

int sweep_record_set_outcome(
	struct sweep_record *t, size_t i, const char *outcome, const char *why, double seconds, struct error *err)
{
	json_object_set_new(sweep_record_get(t, i), "seconds", json_real(seconds));
	json_object_set_new(sweep_record_get(t, i), "outcome", json_string(outcome));
	json_object_set_new(sweep_record_get(t, i), "why", why ? json_string(why) : json_null());
	return save(t, err);
}
