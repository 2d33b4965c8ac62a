#include "run/run.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"
#include "wire/event.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
	ID_MAX = 63,
	STAMP_LEN = 21, // "-20261122-104512-3f9a"
	OPEN_MAX_OUTPUTS = 256,
	LINE_MAX_BYTES = 4 << 20,
	CHUNK = 256 << 10,
};

struct output {
	int fd;
	uint64_t offset, used; // used: the tick of the last write
	double indexed;        // when the last index record was made
	bool known;
};

struct run_files {
	int logs[2]; // events, metrics
	int index;
	struct output *outputs;
	size_t noutputs, nopen;
	uint64_t tick;
};

static const char *const log_names[2] = {"events.jsonl", "metrics.jsonl"};

char *run_path(const struct run *run, const char *name)
{
	return mem_printf("%s/%s", run->dir, name);
}

static struct run_files *open_files(struct run *run)
{
	if (!run->files) {
		run->files = mem_alloc(sizeof(*run->files));
		run->files->logs[0] = run->files->logs[1] = run->files->index = -1;
	}
	return run->files;
}

void run_free(struct run *run)
{
	if (!run)
		return;
	if (run->files) {
		struct run_files *files = run->files;
		int fds[] = {files->logs[0], files->logs[1], files->index};
		for (size_t i = 0; i < countof(fds); i++)
			if (fds[i] >= 0)
				close(fds[i]);
		for (size_t i = 0; i < files->noutputs; i++)
			if (files->outputs[i].known && files->outputs[i].fd >= 0)
				close(files->outputs[i].fd);
		free(files->outputs);
		free(files);
	}
	free(run->id);
	free(run->dir);
	free(run);
}

// --- making one -------------------------------------------------------------

// Every executor must be able to use the id as it is: a DNS label, a tag, a job name, a directory.
static void make_id(const char *name, char id[ID_MAX + 1])
{
	size_t len = 0;
	for (const char *c = name; *c && len < ID_MAX - STAMP_LEN; c++) {
		if (isascii((unsigned char)*c) && isalnum((unsigned char)*c))
			id[len++] = (char)tolower((unsigned char)*c);
		else if (len && id[len - 1] != '-')
			id[len++] = '-';
	}
	while (len && id[len - 1] == '-')
		len--;
	if (!len) {
		memcpy(id, "run", 3);
		len = 3;
	}
	time_t now = (time_t)clock_wall();
	struct tm tm;
	gmtime_r(&now, &tm);
	len += strftime(id + len, ID_MAX + 1 - len, "-%Y%m%d-%H%M%S", &tm);
	unsigned char bytes[2];
	while (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes))
		;
	snprintf(id + len, ID_MAX + 1 - len, "-%02x%02x", bytes[0], bytes[1]);
}

static bool is_id(const char *name)
{
	static const char form[STAMP_LEN + 1] = "-dddddddd-dddddd-xxxx";
	size_t len = strlen(name);
	if (len <= STAMP_LEN || len > ID_MAX)
		return false;
	const char *stamp = name + len - STAMP_LEN;
	for (size_t i = 0; i < STAMP_LEN; i++) {
		unsigned char c = (unsigned char)stamp[i];
		if (form[i] == '-' ? c != '-' : form[i] == 'd' ? !isdigit(c) : !isxdigit(c))
			return false;
	}
	return true;
}

static int make_dir(const char *runs, const char *name, char **id, char **dir, struct error *err)
{
	for (int tries = 0; tries < 100; tries++) {
		char text[ID_MAX + 1];
		make_id(name, text);
		autofree char *path = mem_printf("%s/%s", runs, text);
		if (mkdir(path, 0755) == 0) {
			*id = mem_strdup(text);
			*dir = steal(path);
			return 0;
		}
		if (errno != EEXIST)
			return error_errno(err, "cannot make the directory %s", path);
	}
	return error_set(err, ERROR_SYSTEM, "cannot find a free name for a run below %s", runs);
}

static int fill(struct run *run, const char *job_text, size_t job_len, const json_t *plan, struct error *err)
{
	autofree char *job = run_path(run, "job.yaml");
	if (fs_write(job, job_text ? job_text : "", job_text ? job_len : 0, 0644, err) < 0)
		return -1;
	autofree char *text = json_dumps(plan, JSON_INDENT(1) | JSON_REAL_PRECISION(16));
	if (!text)
		return error_set(err, ERROR_SYSTEM, "the plan is not a JSON object");
	autofree char *file = run_path(run, "plan.json");
	if (fs_write(file, text, strlen(text), 0644, err) < 0)
		return -1;
	for (size_t i = 0; i < countof(log_names); i++) {
		autofree char *log = run_path(run, log_names[i]);
		if (fs_write(log, "", 0, 0644, err) < 0)
			return -1;
	}
	autofree char *ranks = run_path(run, "ranks");
	if (fs_mkdirs(ranks, 0755, err) < 0)
		return -1;
	autofree char *outputs = run_path(run, "outputs");
	return fs_mkdirs(outputs, 0755, err);
}

struct run *run_create(
	const char *runs, const char *name, const char *job_text, size_t job_len, const json_t *plan, struct error *err)
{
	bool made = !fs_exists(runs);
	if (fs_mkdirs(runs, 0755, err) < 0)
		return NULL;
	autofree char *top = realpath(runs, NULL);
	if (!top) {
		error_errno(err, "cannot resolve the directory %s", runs);
		return NULL;
	}
	struct run *run = mem_alloc(sizeof(*run));
	int rc = make_dir(top, name, &run->id, &run->dir, err);
	if (rc == 0)
		rc = fill(run, job_text, job_len, plan, err);
	if (rc == 0)
		return run;
	if (run->dir)
		fs_remove(run->dir, NULL);
	if (made)
		rmdir(top);
	run_free(run);
	return NULL;
}

// --- writing ----------------------------------------------------------------

// Whole or not at all: what a full disk let through of a line is taken back, so that the log stays readable once there
// is room again.
static int append(int fd, const char *path, const void *bytes, size_t len, struct error *err)
{
	size_t done = 0;
	while (done < len) {
		ssize_t n = write(fd, (const char *)bytes + done, len - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			int why = errno;
			off_t end = lseek(fd, 0, SEEK_END);
			if (done && end >= (off_t)done && ftruncate(fd, end - (off_t)done) < 0)
				why = errno;
			errno = why;
			return error_errno(err, "cannot write to %s", path);
		}
		done += (size_t)n;
	}
	return 0;
}

// A writer that died may have left a torn line: it must not swallow the first line of the next.
static int open_log(const char *path, struct error *err)
{
	autoclose int fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0)
		return error_errno(err, "cannot open %s", path);
	char last = '\n';
	off_t end = lseek(fd, 0, SEEK_END);
	if (end > 0 && pread(fd, &last, 1, end - 1) == 1 && last != '\n' && append(fd, path, "\n", 1, err) < 0)
		return -1;
	return steal_fd(&fd);
}

static int append_log(struct run *run, int which, const char *line, size_t len, struct error *err)
{
	struct run_files *files = open_files(run);
	autofree char *path = run_path(run, log_names[which]);
	if (files->logs[which] < 0 && (files->logs[which] = open_log(path, err)) < 0)
		return -1;
	return append(files->logs[which], path, line, len, err);
}

int run_event(struct run *run, const json_t *event, struct error *err)
{
	autofree char *line = event_print(event);
	return append_log(run, event_is_metric(event), line, strlen(line), err);
}

int run_line(struct run *run, bool metric, const char *line, size_t len, struct error *err)
{
	// One write a line, as run_event: two could tear it for a reader.
	autofree char *copy = mem_alloc(len + 1);
	memcpy(copy, line, len);
	copy[len] = '\n';
	return append_log(run, metric, copy, len + 1, err);
}

static void close_oldest(struct run_files *files)
{
	struct output *oldest = NULL;
	for (size_t i = 0; i < files->noutputs; i++) {
		struct output *o = &files->outputs[i];
		if (o->known && o->fd >= 0 && (!oldest || o->used < oldest->used))
			oldest = o;
	}
	close(oldest->fd);
	oldest->fd = -1;
	files->nopen--;
}

static int open_output(struct run_files *files, size_t rank, const char *path, struct error *err)
{
	if (rank >= files->noutputs) {
		size_t count = rank + 1 > 2 * files->noutputs ? rank + 1 : 2 * files->noutputs;
		files->outputs = mem_resize(files->outputs, count * sizeof(*files->outputs));
		memset(files->outputs + files->noutputs, 0, (count - files->noutputs) * sizeof(*files->outputs));
		files->noutputs = count;
	}
	struct output *o = &files->outputs[rank];
	if (o->known && o->fd >= 0)
		return 0;
	if (files->nopen >= OPEN_MAX_OUTPUTS)
		close_oldest(files);
	int fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0)
		return error_errno(err, "cannot open %s", path);
	o->fd = fd;
	o->offset = (uint64_t)lseek(fd, 0, SEEK_END);
	o->known = true;
	files->nopen++;
	return 0;
}

static int append_index(struct run *run, size_t rank, const struct output *o, double now, struct error *err)
{
	autofree char *path = run_path(run, "ranks/index.jsonl");
	if (run->files->index < 0 && (run->files->index = open_log(path, err)) < 0)
		return -1;
	char line[128];
	int len = snprintf(line, sizeof(line), "{\"ts\":%.3f,\"rank\":%zu,\"offset\":%llu}\n", now, rank,
		(unsigned long long)o->offset);
	return append(run->files->index, path, line, (size_t)len, err);
}

int run_output(struct run *run, size_t rank, const void *bytes, size_t len, struct error *err)
{
	struct run_files *files = open_files(run);
	char name[64];
	snprintf(name, sizeof(name), "ranks/output-%zu.txt", rank);
	autofree char *path = run_path(run, name);
	if (open_output(files, rank, path, err) < 0)
		return -1;
	struct output *o = &files->outputs[rank];
	double now = clock_wall();
	// A clock that was set back starts a record too.
	if (now >= o->indexed + 1 || now < o->indexed) {
		if (append_index(run, rank, o, now, err) < 0)
			return -1;
		o->indexed = now;
	}
	if (append(o->fd, path, bytes, len, err) < 0)
		return -1;
	o->offset += len;
	o->used = ++files->tick;
	return 0;
}

// --- finding ----------------------------------------------------------------

struct entry {
	char *id;
	const char *stamp;
};

// Runs of one second are told apart by when their directories were filled, which a file system remembers finely enough.
static int newer_of_one_second(const char *runs, const char *a, const char *b)
{
	struct stat sa = {0}, sb = {0};
	autofree char *pa = mem_printf("%s/%s/plan.json", runs, a);
	autofree char *pb = mem_printf("%s/%s/plan.json", runs, b);
	if (stat(pa, &sa) < 0 || stat(pb, &sb) < 0)
		return 0;
	if (sa.st_mtim.tv_sec != sb.st_mtim.tv_sec)
		return sa.st_mtim.tv_sec > sb.st_mtim.tv_sec ? -1 : 1;
	return sa.st_mtim.tv_nsec > sb.st_mtim.tv_nsec ? -1 : sa.st_mtim.tv_nsec < sb.st_mtim.tv_nsec;
}

static int compare_entries(const void *a, const void *b, void *runs)
{
	const struct entry *x = a, *y = b;
	int order = strncmp(y->stamp, x->stamp, STAMP_LEN - 4);
	if (!order)
		order = newer_of_one_second(runs, x->id, y->id);
	return order ? order : strcmp(x->id, y->id);
}

json_t *run_list(const char *runs)
{
	json_t *list = json_array();
	DIR *dir = opendir(runs);
	if (!dir)
		return list;
	struct entry *entries = NULL;
	size_t count = 0, size = 0;
	for (struct dirent *d; (d = readdir(dir));) {
		if (!is_id(d->d_name) || (d->d_type != DT_DIR && d->d_type != DT_UNKNOWN && d->d_type != DT_LNK))
			continue;
		if (count == size) {
			size = size ? 2 * size : 64;
			entries = mem_resize(entries, size * sizeof(*entries));
		}
		char *id = mem_strdup(d->d_name);
		entries[count++] = (struct entry){id, id + strlen(id) - STAMP_LEN};
	}
	closedir(dir);
	if (count)
		qsort_r(entries, count, sizeof(*entries), compare_entries, (void *)runs);
	for (size_t i = 0; i < count; i++) {
		json_array_append_new(list, json_string(entries[i].id));
		free(entries[i].id);
	}
	free(entries);
	return list;
}

static struct run *open_dir(const char *path, struct error *err)
{
	autofree char *dir = realpath(path, NULL);
	if (!dir) {
		error_errno(err, "cannot open the run %s", path);
		return NULL;
	}
	autofree char *log = fs_join(dir, log_names[0]);
	if (!fs_exists(log)) {
		error_set(err, ERROR_USAGE, "%s is not a run: it has no %s", path, log_names[0]);
		return NULL;
	}
	struct run *run = mem_alloc(sizeof(*run));
	run->id = mem_strdup(strrchr(dir, '/') + 1);
	run->dir = steal(dir);
	return run;
}

static const char *find_prefix(const json_t *list, const char *prefix, const char *runs, struct error *err)
{
	const char *found = NULL;
	size_t count = 0;
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *id = json_string_value(json_array_get(list, i));
		if (!str_starts(id, prefix))
			continue;
		if (!count++)
			found = id;
	}
	if (count > 1) {
		error_set(err, ERROR_USAGE, "'%s' is a prefix of %zu runs in %s, the newest is %s", prefix, count, runs,
			found);
		return NULL;
	}
	if (!count)
		error_set(err, ERROR_USAGE,
			"no run '%s' in %s: expected an id, a prefix of one, a directory or 'latest'", prefix, runs);
	return found;
}

struct run *run_open(const char *runs, const char *name, struct error *err)
{
	if (name && (strchr(name, '/') || strcmp(name, ".") == 0 || strcmp(name, "..") == 0))
		return open_dir(name, err);
	autojson json_t *list = run_list(runs);
	const char *id = NULL;
	if (!name || strcmp(name, "latest") == 0) {
		id = json_string_value(json_array_get(list, 0));
		if (!id)
			error_set(err, ERROR_USAGE, "there are no runs in %s", runs);
	} else {
		autofree char *path = fs_join(runs, name);
		if (*name && fs_exists(path))
			return open_dir(path, err);
		id = find_prefix(list, name, runs, err);
	}
	if (!id)
		return NULL;
	autofree char *path = fs_join(runs, id);
	return open_dir(path, err);
}

// --- reading ----------------------------------------------------------------

struct reader {
	struct str buffer; // begins at *offset
	bool skipping;     // inside a line that is too long to be an event
};

// Hands out the whole lines of the buffer and drops them from it.
static int take_lines(struct reader *r, uint64_t *offset, int (*on_event)(json_t *event, void *data), void *data)
{
	size_t begin = 0;
	int rc = 0;
	for (char *end; !rc && (end = memchr(r->buffer.text + begin, '\n', r->buffer.len - begin));) {
		size_t len = (size_t)(end - r->buffer.text) - begin;
		autojson json_t *event = r->skipping ? NULL : event_parse(r->buffer.text + begin, len, NULL);
		r->skipping = false;
		begin += len + 1;
		*offset += len + 1;
		if (event)
			rc = on_event(event, data);
	}
	if (begin == 0 && r->buffer.len > LINE_MAX_BYTES) {
		begin = r->buffer.len;
		*offset += begin;
		r->skipping = true;
	}
	r->buffer.len -= begin;
	memmove(r->buffer.text, r->buffer.text + begin, r->buffer.len);
	return rc;
}

int run_read(const struct run *run, bool metrics, uint64_t *offset, int (*on_event)(json_t *event, void *data),
	void *data, struct error *err)
{
	autofree char *path = run_path(run, log_names[metrics]);
	autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return error_errno(err, "cannot open %s", path);
	struct reader r = {0};
	autofree char *chunk = mem_alloc(CHUNK);
	int rc = 0;
	while (!rc) {
		ssize_t n = pread(fd, chunk, CHUNK, (off_t)(*offset + r.buffer.len));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			rc = error_errno(err, "cannot read %s", path);
		if (n <= 0)
			break;
		str_add(&r.buffer, chunk, (size_t)n);
		rc = take_lines(&r, offset, on_event, data);
	}
	str_fini(&r.buffer);
	return rc;
}

bool run_alive(const struct run *run, json_t **control)
{
	if (control)
		*control = NULL;
	autofree char *path = run_path(run, "control.json");
	autofree char *text = fs_read(path, 1 << 20, NULL, NULL);
	autojson json_t *tree = text ? json_loads(text, 0, NULL) : NULL;
	if (!json_is_object(tree))
		return false;
	json_int_t pid = json_integer_value(json_object_get(tree, "pid"));
	json_int_t started = json_integer_value(json_object_get(tree, "started"));
	if (control)
		*control = steal(tree);
	return pid > 0 && pid <= INT_MAX && proc_alive((pid_t)pid, (unsigned long long)started);
}
