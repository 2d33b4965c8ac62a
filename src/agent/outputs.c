#include "agent/outputs.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path_text.h"
#include "base/str.h"
#include "job/plan.h"
#include "node/collect.h"
#include "node/node_dirs.h"
#include "wire/event.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	FILES_AHEAD = 1024, // announced and not yet with the controller
	SKIPPED_SAID = 20,  // matches that are nothing to bring back: the others are counted
};
static const double busy_every = 5; // seconds: the controller waits longer for one that says so

struct outputs {
	struct node *node;
	void (*on_done)(struct node *node, const json_t *unmatched);
	struct forked_task *search;
	json_t *unmatched;
	int out, dir;    // descriptors of the output directory and the node's
	uint32_t stream; // of the next file
	size_t skipped;
	bool has_setup_log, has_mpirun_log; // the job left files of these names itself
};

// --- the search, in a process of its own ------------------------------------------

struct search {
	const struct node *node;
	FILE *lines;
	bool unsent;    // lines are in the buffer of lines
	double flushed; // when they were last sent
};

static void write_line(struct search *s, json_t *line)
{
	json_dumpf(line, s->lines, JSON_COMPACT);
	putc('\n', s->lines);
	json_decref(line);
	s->unsent = true;
}

static void on_file(const char *path, const char *from, uint64_t size, unsigned mode, void *data)
{
	autofree char *text = path_text_encode(path), *source = path_text_encode(from);
	bool same = strcmp(text, source) == 0;
	write_line(data, mem_json("{s:s, s:s*, s:I, s:i}", "path", text, "from", same ? NULL : source, "bytes",
				 (json_int_t)size, "mode", (int)mode));
}

static void on_link(const char *path, const char *target, void *data)
{
	autofree char *text = path_text_encode(path), *link = path_text_encode(target);
	write_line(data, mem_json("{s:s, s:s}", "path", text, "link", link));
}

static void on_failed(const char *path, const char *why, void *data)
{
	autofree char *text = path_text_encode(path);
	write_line(data, mem_json("{s:s, s:s}", "path", text, "failed", why));
}

static void on_skipped(const char *path, const char *why, void *data)
{
	autofree char *text = path_text_encode(path), *clean = str_utf8_clean(why, strlen(why));
	write_line(data, mem_json("{s:s, s:s}", "path", text, "skipped", clean));
}

static void on_progress(void *data)
{
	struct search *s = data;
	if (clock_mono() - s->flushed < busy_every)
		return;
	if (!s->unsent)
		write_line(s, mem_json("{s:b}", "busy", 1));
	fflush(s->lines);
	s->unsent = false;
	s->flushed = clock_mono();
}

static int search(int out, int control, void *data)
{
	static const struct collect_ops ops = {on_file, on_link, on_failed, on_skipped, on_progress};
	struct error err = {0};
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) { // a descriptor for each directory on the way down
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	struct search s = {.node = data, .lines = fdopen(out, "w"), .flushed = clock_mono()};
	struct glob *globs = glob_new(plan_outputs(s.node->plan), &err);
	if (globs) {
		collect_walk(s.node->out_dir, globs, &ops, &s);
		write_line(&s, mem_json("{s:o}", "unmatched", glob_unmatched(globs)));
	} else
		on_failed(".", err.text, &s);
	return fflush(s.lines) == 0 ? 0 : 1;
}

// --- what it found ----------------------------------------------------------------

// text: a path below the output directory as path_text_encode has it.
static void fail(struct node *node, const char *text, const char *why)
{
	node_event(node, event_make("output", "s:s, s:b, s:s", "path", text, "ok", 0, "why", why));
	outputs_keep(node);
}

static void announce(struct outputs *o, const char *text, const struct uplink_file *file, unsigned mode)
{
	if (o->stream >= UPLINK_EXEC) {
		fail(o->node, text, "there are more files than streams for them");
		return;
	}
	o->has_setup_log |= strcmp(text, "setup.log") == 0;
	o->has_mpirun_log |= strcmp(text, "mpirun.log") == 0;
	uplink_file(o->node->up, o->stream, file);
	node_event(
		o->node, event_make("output", "s:s, s:I, s:I, s:i, s:b", "path", text, "bytes", (json_int_t)file->size,
				 "stream", (json_int_t)o->stream, "mode", (int)mode, "ok", 1));
	o->stream++;
}

static void announce_found(struct outputs *o, const char *text, const json_t *line)
{
	autofree char *from = path_text_decode(json_text_or(line, "from", text));
	const struct uplink_file file = {
		.dirfd = o->out, .path = from, .name = text, .size = (uint64_t)json_int(line, "bytes")};
	announce(o, text, &file, (unsigned)json_int(line, "mode"));
}

static void skip(struct outputs *o, const char *text, const char *why)
{
	autofree char *said = mem_printf("the output '%s' is left out: %s", text, why);
	if (o->skipped++ < SKIPPED_SAID)
		node_event(o->node, event_make("warn", "s:s", "why", said));
}

static bool is_far_ahead(const struct outputs *o, size_t files)
{
	return uplink_files(o->node->up) >= files;
}

static void on_line(json_t *line, void *data)
{
	struct outputs *o = data;
	const char *text = json_text(line, "path");
	if (json_has(line, "bytes"))
		announce_found(o, text, line);
	else if (json_has(line, "link"))
		node_event(o->node, event_make("output", "s:s, s:O, s:b", "path", text, "link",
					    json_object_get(line, "link"), "ok", 1));
	else if (json_has(line, "failed"))
		fail(o->node, text, json_text(line, "failed"));
	else if (json_has(line, "skipped"))
		skip(o, text, json_text(line, "skipped"));
	else if (json_has(line, "unmatched"))
		o->unmatched = json_incref(json_object_get(line, "unmatched"));
	else
		uplink_send(o->node->up, mem_json("{s:s}", "msg", "busy"));
	if (o->search && is_far_ahead(o, FILES_AHEAD))
		forked_task_pause(o->search, true);
}

void outputs_on_ack(struct node *node)
{
	struct outputs *o = node->outputs;
	if (o && o->search && !is_far_ahead(o, FILES_AHEAD / 2))
		forked_task_pause(o->search, false);
}

// --- its end ----------------------------------------------------------------------

// A log of the node's own; taken: the job left a file of that name.
static void bring_log(struct outputs *o, const char *name, bool taken)
{
	autofree char *as = mem_printf("%s%s", taken ? "muster-" : "", name);
	struct stat st;
	if (fstatat(o->dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		const struct uplink_file file = {
			.dirfd = o->dir, .path = name, .name = as, .size = (uint64_t)st.st_size};
		announce(o, as, &file, 0644);
	} else if (errno != ENOENT)
		fail(o->node, as, strerror(errno));
}

static void finish(struct outputs *o)
{
	bring_log(o, "setup.log", o->has_setup_log);
	bring_log(o, "mpirun.log", o->has_mpirun_log);
	if (o->skipped > SKIPPED_SAID) {
		autofree char *more = mem_printf("%zu more outputs are left out", o->skipped - SKIPPED_SAID);
		node_event(o->node, event_make("warn", "s:s", "why", more));
	}
	o->on_done(o->node, o->unmatched);
}

static void on_search_exit(int status, void *data)
{
	struct outputs *o = data;
	o->search = NULL;
	autofree char *why = mem_printf("the search for outputs ended with status %d", status);
	if (status != 0 || !o->unmatched)
		fail(o->node, ".", why);
	finish(o);
}

void outputs_bring(struct node *node, void (*on_done)(struct node *node, const json_t *unmatched))
{
	struct error err = {0};
	struct outputs *o = node->outputs = mem_alloc(sizeof *o);
	*o = (struct outputs){.node = node,
		.on_done = on_done,
		.stream = UPLINK_FILES,
		.out = open(node->out_dir, O_PATH | O_DIRECTORY | O_CLOEXEC),
		.dir = open(node->dir, O_PATH | O_DIRECTORY | O_CLOEXEC)};
	struct forked_task_options options = {.work = search,
		.work_data = node,
		.keep = -1,
		.on_line = on_line,
		.on_exit = on_search_exit,
		.data = o};
	if (json_array_size(plan_outputs(node->plan)) == 0) {
		finish(o);
		return;
	}
	o->search = forked_task_start(node->loop, &options, &err);
	if (o->search)
		return;
	fail(node, ".", err.text);
	finish(o);
}

void outputs_on_unreadable(struct node *node, uint32_t stream, const char *name, const char *why)
{
	node_event(node, event_make("output", "s:s, s:I, s:b, s:s", "path", name, "stream", (json_int_t)stream, "ok", 0,
				 "why", why));
	outputs_keep(node);
}

// --- the directory ----------------------------------------------------------------

void outputs_keep(struct node *node)
{
	if (node->keeps_outputs || node->loses_outputs)
		return;
	// What an executor says of a node whose directory cannot outlive it.
	const char *obstacle = json_text(node->config, "removed"), *until = json_text(node->config, "kept_until");
	struct error err = {0};
	// At once: when the line is closed, the controller ends what is left of this node.
	if (!obstacle && node_dirs_keep(node->dir, &err) < 0)
		obstacle = err.text;
	node->keeps_outputs = !obstacle;
	node->loses_outputs = obstacle;
	autofree char *reaped = mem_printf("until `muster reap %s` removes them", node->run);
	autofree char *why = obstacle ? mem_printf("the outputs of this node cannot be kept: %s", obstacle)
				      : mem_printf("the outputs of this node are kept in '%s'%s%s %s", node->out_dir,
						node->same_files ? "" : " on ", node->same_files ? "" : node->name,
						until ? until : reaped);
	node_event(node, event_make("warn", "s:s", "why", why));
}

// Logs of the node that are brought back too.
static bool is_own_log(const char *name)
{
	return strcmp(name, "setup.log") == 0 || strcmp(name, "mpirun.log") == 0;
}

int outputs_clear_dir(const struct node *node, struct error *err)
{
	DIR *dir = opendir(node->dir);
	if (!dir)
		return error_errno(err, "cannot read '%s'", node->dir);
	int rc = 0;
	for (struct dirent *e; (e = readdir(dir));) {
		autofree char *path = fs_join(node->dir, e->d_name);
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 && !node_dirs_is_mark(e->d_name) &&
			!is_own_log(e->d_name) && strcmp(path, node->out_dir) != 0)
			rc |= fs_remove(path, rc ? NULL : err);
	}
	closedir(dir);
	return rc ? -1 : 0;
}

void outputs_stop(struct node *node)
{
	if (node->outputs)
		forked_task_kill(steal(node->outputs->search));
}

void outputs_free(struct node *node)
{
	struct outputs *o = steal(node->outputs);
	if (!o)
		return;
	mem_cleanup_fd(&o->out);
	mem_cleanup_fd(&o->dir);
	json_decref(o->unmatched);
	free(o);
}
