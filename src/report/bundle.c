#include "report/bundle.h"

#include "base/archives.h"
#include "base/clock.h"
#include "base/crypto.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path_text.h"
#include "report/report.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DESCRIPTION_BYTES = 256 << 20 };
static const char description[] = "bundle.json";

// --- what it says ---------------------------------------------------------------

static json_t *inputs_of(const json_t *report)
{
	static const char *const members[] = {"node", "name", "from", "sha256", "tree", "bytes", "commit"};
	json_t *list = json_array();
	size_t i;
	const json_t *input;
	json_array_foreach (json_object_get(report, "inputs"), i, input) {
		json_t *item = json_object();
		for (size_t k = 0; k < countof(members); k++)
			if (json_has(input, members[k]))
				json_object_set(item, members[k], json_object_get(input, members[k]));
		json_array_append_new(list, item);
	}
	return list;
}

static json_t *machines_of(const json_t *report)
{
	json_t *list = json_array();
	size_t i;
	const json_t *node;
	json_array_foreach (json_object_get(report, "nodes"), i, node)
		json_array_append(list, json_has(node, "facts") ? json_object_get(node, "facts") : json_null());
	return list;
}

json_t *bundle_describe(const struct run *run, struct error *err)
{
	autojson json_t *report = report_make(run, err);
	if (!report)
		return NULL;
	return mem_json("{s:i, s:s, s:O?, s:f, s:O?, s:O?, s:o, s:o}", "bundle", 1, "id", run->id, "muster",
		json_object_get(report, "version"), "exported", clock_wall(), "outcome",
		json_object_get(report, "outcome"), "seconds", json_object_get(report, "seconds"), "machines",
		machines_of(report), "inputs", inputs_of(report));
}

// --- writing --------------------------------------------------------------------

static char *link_text(const char *path, struct error *err)
{
	char target[4096];
	ssize_t n = readlink(path, target, sizeof target - 1);
	if (n < 0) {
		error_errno(err, "cannot read %s", path);
		return NULL;
	}
	target[n] = '\0';
	return path_text_encode(target);
}

static int list_entry(const char *name, const char *file, const struct stat *st, json_t *files, struct error *err)
{
	char sum[CRYPTO_HEX];
	autofree char *text = path_text_encode(name), *link = NULL;
	if (S_ISREG(st->st_mode)) {
		if (crypto_sha256_file(file, sum, err) < 0)
			return -1;
		return json_array_append_new(files,
			mem_json("{s:s, s:I, s:s}", "path", text, "bytes", (json_int_t)st->st_size, "sha256", sum));
	}
	if (!S_ISLNK(st->st_mode)) // a socket or the like is none of the run's results
		return 0;
	link = link_text(file, err);
	return link ? json_array_append_new(files, mem_json("{s:s, s:s}", "path", text, "link", link)) : -1;
}

static int list_files(const char *dir, const char *below, json_t *files, struct error *err)
{
	autofree char *path = *below ? fs_join(dir, below) : mem_strdup(dir);
	DIR *d = opendir(path);
	int rc = d ? 0 : error_errno(err, "cannot read %s", path);
	for (struct dirent *e; rc == 0 && (e = readdir(d));) {
		struct stat st;
		autofree char *name = *below ? mem_printf("%s/%s", below, e->d_name) : mem_strdup(e->d_name),
			      *file = fs_join(dir, name);
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 || strcmp(name, "control.json") == 0)
			continue;
		if (lstat(file, &st) < 0)
			rc = errno == ENOENT ? 0 : error_errno(err, "cannot read %s", file);
		else
			rc = S_ISDIR(st.st_mode) ? list_files(dir, name, files, err)
						 : list_entry(name, file, &st, files, err);
	}
	if (d)
		closedir(d);
	return rc;
}

static int add_description(struct archives_writer *w, const json_t *tree, const char *id, struct error *err)
{
	char path[] = "/tmp/muster-bundle-XXXXXX";
	autoclose int fd = mkostemp(path, O_CLOEXEC);
	autofree char *text = json_dumps(tree, JSON_INDENT(1)), *name = mem_printf("%s/%s", id, description);
	if (fd < 0)
		return error_errno(err, "cannot make a temporary file");
	fchmod(fd, 0644);
	int rc = fs_write_fd(fd, text, strlen(text), err);
	if (rc == 0)
		rc = archives_add(w, path, name, err);
	unlink(path);
	return rc;
}

static int write_all(int fd, const struct run *run, const json_t *tree, struct error *err)
{
	struct archives_writer *w = archives_writer_new(fd, err);
	if (!w)
		return -1;
	int rc = add_description(w, tree, run->id, err);
	size_t i;
	const json_t *file;
	json_array_foreach (json_object_get(tree, "files"), i, file) {
		autofree char *below = path_text_decode(json_text(file, "path")), *path = run_path(run, below),
			      *name = mem_printf("%s/%s", run->id, below);
		if (rc == 0)
			rc = archives_add(w, path, name, err);
	}
	if (rc == 0)
		return archives_writer_end(w, err);
	archives_writer_free(w);
	return -1;
}

int bundle_write(const struct run *run, const char *path, struct error *err)
{
	autojson json_t *tree = bundle_describe(run, err), *files = json_array();
	if (!tree)
		return -1;
	if (json_is(tree, "outcome", "running"))
		return error_set(
			err, ERROR_USAGE, "run %s has not ended; only a run that has ended can be exported", run->id);
	if (list_files(run->dir, "", files, err) < 0)
		return -1;
	json_object_set(tree, "files", files);
	autofree char *beside = mem_printf("%s.%d.tmp", path, (int)getpid());
	autoclose int fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		return error_errno(err, "cannot make %s", beside);
	int rc = write_all(fd, run, tree, err);
	if (rc == 0 && (fsync(fd) < 0 || rename(beside, path) < 0))
		rc = error_errno(err, "cannot write %s", path);
	if (rc < 0)
		unlink(beside);
	return rc;
}

// --- reading --------------------------------------------------------------------

// The only directory there is.
static char *find_id(const char *dir, struct error *err)
{
	DIR *d = opendir(dir);
	char *id = NULL;
	size_t count = 0;
	for (struct dirent *e; d && (e = readdir(d));) {
		if (e->d_name[0] == '.')
			continue;
		free(id);
		id = mem_strdup(e->d_name);
		count++;
	}
	if (d)
		closedir(d);
	if (count == 1)
		return id;
	free(id);
	error_set(err, ERROR_USAGE, "it contains %zu directories, expected one", count);
	return NULL;
}

static int check_link(const char *path, const json_t *file, struct error *err)
{
	const char *target = json_text(file, "link");
	autofree char *now = link_text(path, err);
	if (!now)
		return -1;
	return strcmp(now, target) == 0 ? 0
					: error_set(err, ERROR_USAGE, "%s was changed: it links to %s, expected %s",
						  json_text(file, "path"), now, target);
}

static int check_file(const char *dir, const json_t *file, struct error *err)
{
	const char *text = json_text(file, "path"), *sum = json_text(file, "sha256");
	autofree char *name = text ? path_text_decode(text) : NULL;
	char now[CRYPTO_HEX];
	if (!name || !fs_is_inside(name) || (!sum && !json_text(file, "link")))
		return error_set(err, ERROR_USAGE, "its list of files is damaged");
	autofree char *path = fs_join(dir, name);
	if (!sum)
		return check_link(path, file, err);
	if (crypto_sha256_file(path, now, err) < 0)
		return -1;
	return strcmp(now, sum) == 0
		       ? 0
		       : error_set(err, ERROR_USAGE, "%s was changed: its sha256 is %s, expected %s", text, now, sum);
}

// What stands on its list is as it was written, and what does the run is on it: nothing was put in, taken out or
// changed.
static int check_files(const char *dir, const json_t *tree, struct error *err)
{
	static const char *const needed[] = {"job.yaml", "plan.json", "events.jsonl"};
	autojson json_t *there = json_array(), *listed = json_object();
	size_t i;
	const json_t *file;
	json_array_foreach (json_object_get(tree, "files"), i, file) {
		if (check_file(dir, file, err) < 0)
			return -1;
		json_object_set_new(listed, json_text(file, "path"), json_true());
	}
	for (i = 0; i < countof(needed); i++)
		if (!json_object_get(listed, needed[i]))
			return error_set(err, ERROR_USAGE, "its list of files does not contain %s", needed[i]);
	if (list_files(dir, "", there, err) < 0)
		return -1;
	json_array_foreach (there, i, file)
		if (!json_is(file, "path", description) && !json_object_get(listed, json_text(file, "path")))
			return error_set(err, ERROR_USAGE, "%s is not on its list of files", json_text(file, "path"));
	return 0;
}

static json_t *read_description(const char *dir, struct error *err)
{
	autofree char *id = find_id(dir, err), *below = id ? fs_join(dir, id) : NULL,
		      *path = below ? fs_join(below, description) : NULL;
	size_t len;
	autofree char *text = path ? fs_read(path, DESCRIPTION_BYTES, &len, err) : NULL;
	autojson json_t *tree = text ? json_loadb(text, len, 0, NULL) : NULL;
	if (!text)
		return NULL;
	if (json_number(tree, "bundle") != 1 || !json_is(tree, "id", id)) {
		error_set(err, ERROR_USAGE, "its bundle.json has an unknown format");
		return NULL;
	}
	return check_files(below, tree, err) < 0 ? NULL : steal(tree);
}

json_t *bundle_open(const char *path, const char *dir, struct error *err)
{
	json_t *tree = archives_unpack(path, dir, NULL, NULL, NULL, err) < 0 ? NULL : read_description(dir, err);
	if (!tree) {
		error_wrap(err, "%s is not a bundle", path);
		if (err)
			err->code = ERROR_USAGE;
	}
	return tree;
}

// --- then and now ---------------------------------------------------------------

static void note(json_t *list, char *text)
{
	json_array_append_new(list, json_string(text));
	free(text);
}

static bool is_same(const json_t *a, const json_t *b, const char *name)
{
	return json_equal(json_object_get(a, name), json_object_get(b, name));
}

static void compare_inputs(const json_t *then, const json_t *now, json_t *list)
{
	size_t i, k;
	const json_t *a, *b;
	json_array_foreach (json_object_get(then, "inputs"), i, a)
		json_array_foreach (json_object_get(now, "inputs"), k, b) {
			bool differs = (json_has(a, "sha256") && !is_same(a, b, "sha256")) ||
				       (json_has(a, "tree") && !is_same(a, b, "tree")) ||
				       (json_has(a, "commit") && !is_same(a, b, "commit"));
			if (differs && is_same(a, b, "node") && is_same(a, b, "name"))
				note(list, mem_printf("input %s of node %.0f differs", json_text(a, "name"),
						   json_number(a, "node")));
		}
}

json_t *bundle_differences(const json_t *then, const json_t *now)
{
	static const char *const facts[] = {"cores", "memory", "kernel"};
	json_t *list = json_array();
	size_t i;
	const json_t *machine;
	if (!json_equal(json_object_get(then, "muster"), json_object_get(now, "muster")))
		note(list, mem_printf("muster was %s and is %s", json_text(then, "muster"), json_text(now, "muster")));
	compare_inputs(then, now, list);
	json_array_foreach (json_object_get(then, "machines"), i, machine) {
		const json_t *other = json_array_get(json_object_get(now, "machines"), i);
		for (size_t k = 0; k < countof(facts); k++) {
			autofree char *a = json_dumps(json_object_get(machine, facts[k]), JSON_ENCODE_ANY),
				      *b = json_dumps(json_object_get(other, facts[k]), JSON_ENCODE_ANY);
			if (a && b && strcmp(a, b) != 0)
				note(list, mem_printf("node %zu: %s was %s and is %s", i, facts[k], a, b));
		}
	}
	return list;
}
