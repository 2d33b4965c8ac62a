#include "docker/image.h"

#include "base/archives.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/url.h"
#include "docker/dockerignore.h"
#include "job/plan.h"
#include "wire/event.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const double quiet = 3600.0; // seconds a step of a build or a layer of a pull may take without a word
#define IGNORE_MAX (1 << 20)
static const double tell_every = 1.0; // seconds, for what is told many times a second

enum { LAST_LINES = 8 };

static void say(const struct image_work *work, json_t *event)
{
	if (work->say)
		work->say(work->data, event);
	else
		json_decref(event);
}

static void say_step(const struct image_work *work, const char *name, const char *step)
{
	say(work, event_make("image", "s:s, s:s", "name", name, "step", step));
}

static void say_ready(const struct image_work *work, const char *name, double since)
{
	say(work, event_make("image", "s:s, s:f, s:b", "name", name, "seconds", clock_mono() - since, "ok", 1));
}

// --- pulling ----------------------------------------------------------------

struct pull {
	const struct image_work *work;
	const char *name;
	double told;
};

static int on_pull(const json_t *line, void *data, struct error *err)
{
	struct pull *p = data;
	if (json_object_get(line, "error"))
		return error_set(err, ERROR_SYSTEM, "the engine says: %.600s", json_text_or(line, "error", ""));
	double now = clock_mono();
	if (now - p->told < tell_every)
		return 0;
	p->told = now;
	const json_t *detail = json_object_get(line, "progressDetail");
	double done = json_number_value(json_object_get(detail, "current")),
	       total = json_number_value(json_object_get(detail, "total"));
	autofree char *have = str_bytes(done), *all = str_bytes(total);
	autofree char *step =
		total > 0 ? mem_printf("%s %s: %s of %s", json_text_or(line, "status", ""),
				    json_text_or(line, "id", ""), have, all)
			  : mem_printf("%s %s", json_text_or(line, "status", ""), json_text_or(line, "id", ""));
	say_step(p->work, p->name, step);
	return 0;
}

// "registry:5000/a/b" has no tag: what stands behind the last '/' decides. A name by digest has none to add either.
static bool has_tag(const char *name)
{
	const char *slash = strrchr(name, '/');
	return strchr(name, '@') || strchr(slash ? slash : name, ':');
}

int image_is_there(const struct image_work *work, const char *name, struct error *err)
{
	autofree char *path = mem_printf("/images/%s/json", name);
	int status = engine_ask(work->engine,
		&(struct engine_ask){.method = "GET", .path = path, .cancelled = work->cancelled}, NULL, err);
	if (status < 0 || status < 400)
		return status < 0 ? -1 : 1;
	return status == 404 ? 0 : error_wrap(err, "cannot look for the image '%s'", name);
}

int image_ensure(const struct image_work *work, const char *name, struct error *err)
{
	int there = image_is_there(work, name, err);
	if (there)
		return there < 0 ? -1 : 0;
	double since = clock_mono();
	say_step(work, name, "is not there, pulling it");
	autofree char *quoted = url_quote(name);
	autofree char *create = mem_printf("/images/create?fromImage=%s%s", quoted, has_tag(name) ? "" : "&tag=latest");
	struct pull p = {.work = work, .name = name, .told = since};
	struct engine_ask pull = {.method = "POST",
		.path = create,
		.idle = quiet,
		.cancelled = work->cancelled,
		.on_line = on_pull,
		.data = &p};
	int status = engine_ask(work->engine, &pull, NULL, err);
	if (status < 0 || status >= 400) {
		if (err && err->code == ERROR_CANCELLED)
			return -1;
		return error_wrap(err, "the image '%s' is not there and cannot be pulled", name);
	}
	say_ready(work, name, since);
	return 0;
}

// --- the context ------------------------------------------------------------

struct packing {
	struct archives_writer *tar;
	const char *root;
	char *ignore; // text of .dockerignore, "" when there is none
	const char *dockerfile;
	bool returns;
};

// The Dockerfile and the .dockerignore themselves are always sent: the engine reads them.
static bool is_out(const struct packing *p, const char *name)
{
	return dockerignore_match(p->ignore, name) && strcmp(name, p->dockerfile) != 0 &&
	       strcmp(name, ".dockerignore") != 0;
}

static int pack_dir(struct packing *p, const char *below, struct error *err);

static int pack_one(struct packing *p, const char *name, struct error *err)
{
	autofree char *path = fs_join(p->root, name);
	struct stat st;
	if (lstat(path, &st))
		return error_errno(err, "cannot examine '%s'", path);
	bool out = is_out(p, name);
	if (S_ISSOCK(st.st_mode) || (out && !(S_ISDIR(st.st_mode) && p->returns)))
		return 0;
	if (!out && archives_add(p->tar, path, name, err))
		return -1;
	return S_ISDIR(st.st_mode) ? pack_dir(p, name, err) : 0;
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

// In order of the names, so that the same tree is the same archive.
static int pack_dir(struct packing *p, const char *below, struct error *err)
{
	autofree char *path = *below ? fs_join(p->root, below) : mem_strdup(p->root);
	DIR *d = opendir(path);
	if (!d)
		return error_errno(err, "cannot read the directory '%s'", path);
	char **names = NULL;
	size_t count = 0;
	for (struct dirent *e; (e = readdir(d));) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		names = mem_resize(names, (count + 1) * sizeof *names);
		names[count++] = *below ? mem_printf("%s/%s", below, e->d_name) : mem_strdup(e->d_name);
	}
	closedir(d);
	if (count)
		qsort(names, count, sizeof *names, compare);
	int rc = 0;
	for (size_t i = 0; i < count; i++) {
		if (!rc)
			rc = pack_one(p, names[i], err);
		free(names[i]);
	}
	free(names);
	return rc;
}

// A nameless file with the context as a tar archive; its descriptor is the caller's.
static int pack_context(const struct plan_build *build, struct error *err)
{
	const char *root = build->context, *dockerfile = build->dockerfile ? build->dockerfile : "Dockerfile",
		   *tmp = getenv("TMPDIR");
	autofree char *instructions = fs_join(root, dockerfile);
	if (!fs_exists(instructions))
		return error_errno(err, "cannot build without '%s'", instructions);
	autoclose int fd = open(tmp && *tmp ? tmp : "/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_errno(err, "cannot make a temporary file in '%s'", tmp && *tmp ? tmp : "/tmp");
	autofree char *path = fs_join(root, ".dockerignore");
	autofree char *ignore = fs_exists(path) ? fs_read(path, IGNORE_MAX, NULL, err) : mem_strdup("");
	if (!ignore)
		return -1;
	struct packing p = {
		.root = root, .ignore = ignore, .dockerfile = dockerfile, .returns = dockerignore_returns(ignore)};
	p.tar = archives_writer_new(fd, err);
	if (!p.tar)
		return -1;
	if (pack_dir(&p, "", err)) {
		archives_writer_free(p.tar);
		return -1;
	}
	return archives_writer_end(p.tar, err) ? -1 : steal_fd(&fd);
}

// --- building ---------------------------------------------------------------

struct build {
	const struct image_work *work;
	const char *name;
	char *id;
	char *last[LAST_LINES]; // a ring
	size_t lines;
	struct str line; // one that has not ended yet
};

// The engine colours what a step says on its standard error.
static void uncolour(char *text)
{
	char *to = text;
	for (const char *at = text; *at;) {
		if (at[0] == '\033' && at[1] == '[') {
			at += 2 + strspn(at + 2, "0123456789;");
			at += *at != '\0';
		} else
			*to++ = *at++;
	}
	*to = '\0';
}

static void keep_line(struct build *b)
{
	autofree char *text = str_utf8_clean(b->line.len ? b->line.text : "", b->line.len);
	b->line.len = 0;
	uncolour(text);
	if (!*text)
		return;
	if (b->work->hear)
		b->work->hear(b->work->data, text);
	if (str_starts(text, "Step "))
		say_step(b->work, b->name, text);
	char **slot = &b->last[b->lines++ % LAST_LINES];
	free(*slot);
	*slot = steal(text);
}

static void keep_text(struct build *b, const char *text)
{
	for (; *text; text += strcspn(text, "\r\n"), text += strspn(text, "\r\n")) {
		size_t len = strcspn(text, "\r\n");
		str_add(&b->line, text, len);
		if (text[len])
			keep_line(b);
	}
}

static int on_build(const json_t *line, void *data, struct error *err)
{
	struct build *b = data;
	if (json_object_get(line, "stream"))
		keep_text(b, json_text_or(line, "stream", ""));
	const char *id = json_string_value(json_object_get(json_object_get(line, "aux"), "ID"));
	if (id) {
		free(b->id);
		b->id = mem_strdup(id);
	}
	if (!json_object_get(line, "error"))
		return 0;
	keep_line(b);
	if (b->work->hear)
		return error_set(err, ERROR_SYSTEM, "%.600s", json_text_or(line, "error", ""));
	autostr struct str lines = {0};
	for (size_t i = b->lines < LAST_LINES ? 0 : b->lines - LAST_LINES; i < b->lines; i++)
		str_printf(&lines, "%s%.100s", lines.len ? " | " : "", b->last[i % LAST_LINES]);
	return error_set(err, ERROR_SYSTEM, "%.300s; its last lines: %.600s", json_text_or(line, "error", ""),
		lines.len ? lines.text : "(none)");
}

static char *build_path(const char *name, const struct plan_build *build)
{
	autofree char *file = url_quote(build->dockerfile ? build->dockerfile : "Dockerfile"), *tag = url_quote(name);
	autofree char *args = json_dumps(build->args, JSON_COMPACT);
	autofree char *quoted = url_quote(args ? args : "{}");
	return mem_printf("/build?t=%s&dockerfile=%s&buildargs=%s&labels=%%7B%%22muster.build%%22%%3A%%22%s%%22%%7D&rm="
			  "1&forcerm=1",
		tag, file, quoted, tag);
}

char *image_build(const struct image_work *work, const char *name, const struct plan_build *build, struct error *err)
{
	double since = clock_mono();
	say_step(work, name, "sending the context");
	autoclose int tar = pack_context(build, err);
	struct build b = {.work = work, .name = name};
	autofree char *path = build_path(name, build);
	struct engine_ask ask = {.method = "POST",
		.path = path,
		.file = tar,
		.idle = quiet,
		.cancelled = work->cancelled,
		.on_line = on_build,
		.data = &b};
	int status = tar < 0 ? -1 : engine_ask(work->engine, &ask, NULL, err);
	for (size_t i = 0; i < LAST_LINES; i++)
		free(b.last[i]);
	str_fini(&b.line);
	if (status > 0 && status < 400 && !b.id)
		status = error_set(err, ERROR_SYSTEM, "the engine did not say what it built");
	if (status > 0 && status < 400) {
		say_ready(work, name, since);
		return b.id;
	}
	free(b.id);
	if (!err || err->code != ERROR_CANCELLED)
		error_wrap(err, "cannot build the image of '%s'", build->context);
	return NULL;
}
