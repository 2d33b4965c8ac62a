#include "node/mounts.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TEXT_MAX = 16 << 20 };
static const double patience = 20; // seconds for a server that does not answer

// --- what is mounted --------------------------------------------------------------

// Undoes \040 and its like, in place.
static void unescape(char *text)
{
	char *to = text;
	for (char *at = text; *at; to++) {
		if (at[0] == '\\' && at[1] >= '0' && at[1] <= '3' && at[2] && at[3]) {
			*to = (char)((at[1] - '0') << 6 | (at[2] - '0') << 3 | (at[3] - '0'));
			at += 4;
		} else
			*to = *at++;
	}
	*to = '\0';
}

// The topmost mount at the path: its number, or -1; *what as mounts_find has it, unless NULL.
static long find_mount(const char *path, char **what)
{
	autofree char *text = fs_read("/proc/self/mountinfo", TEXT_MAX, NULL, NULL);
	long found = -1;
	char *rest = text;
	for (char *line; (line = strsep(&rest, "\n"));) {
		long id;
		char at[PATH_MAX], type[256] = "", source[PATH_MAX] = "";
		if (sscanf(line, "%ld %*s %*s %*s %4095s", &id, at) != 2)
			continue;
		unescape(at);
		if (strcmp(at, path) != 0)
			continue;
		found = id;
		const char *end = strstr(line, " - ");
		if (!what || !end)
			continue;
		sscanf(end, " - %255s %4095s", type, source);
		unescape(source);
		free(*what);
		*what = mem_printf("%s (%s)", source, type);
	}
	return found;
}

// The path without links, as far as it exists; *made is the first part of it that does not, or NULL.
static char *resolve(const char *to, char **made)
{
	autofree char *there = mem_strdup(to);
	char whole[PATH_MAX];
	*made = NULL;
	while (!realpath(there, whole)) {
		char *slash = strrchr(there, '/');
		if (!slash)
			return mem_strdup(to);
		slash[slash == there] = '\0';
	}
	const char *rest = to + strlen(there);
	rest += strspn(rest, "/");
	if (!*rest)
		return mem_strdup(whole);
	autofree char *first = mem_strndup(rest, strcspn(rest, "/"));
	*made = fs_join(whole, first);
	return fs_join(whole, rest);
}

char *mounts_find(const char *to)
{
	autofree char *made = NULL, *path = resolve(to, &made);
	char *what = NULL;
	find_mount(path, &what);
	return what;
}

// --- what is noted ----------------------------------------------------------------

static json_t *read_notes(const char *dir)
{
	autofree char *path = fs_join(dir, "mounts.json");
	autofree char *text = fs_read(path, TEXT_MAX, NULL, NULL);
	json_t *notes = text ? json_loads(text, 0, NULL) : NULL;
	if (json_is_array(notes))
		return notes;
	json_decref(notes);
	return json_array();
}

static int save_notes(const char *dir, const json_t *notes, struct error *err)
{
	autofree char *path = fs_join(dir, "mounts.json");
	autofree char *text = json_dumps(notes, JSON_INDENT(1));
	return fs_write(path, text, strlen(text), 0644, err);
}

static json_t *note_of(const json_t *notes, const char *path)
{
	size_t i;
	json_t *note;
	json_array_foreach (notes, i, note) {
		const char *to = json_string_value(json_object_get(note, "to"));
		if (to && strcmp(to, path) == 0)
			return note;
	}
	return NULL;
}

// The note of another node of this run, owned by the caller; NULL when there is none.
static json_t *find_shared(const char *dir, const char *path)
{
	autofree char *above = mem_strdup(dir);
	char *own = strrchr(above, '/');
	json_t *found = NULL;
	if (!own)
		return NULL;
	*own++ = '\0';
	DIR *d = opendir(above);
	for (struct dirent *e; d && !found && (e = readdir(d));) {
		if (!str_starts(e->d_name, "node-") || strcmp(e->d_name, own) == 0)
			continue;
		autofree char *other = fs_join(above, e->d_name);
		autojson json_t *notes = read_notes(other);
		found = json_incref(note_of(notes, path));
	}
	if (d)
		closedir(d);
	return found;
}

bool mounts_shared(const char *dir, const char *to)
{
	autofree char *made = NULL, *path = resolve(to, &made);
	autojson json_t *note = find_shared(dir, path);
	return note;
}

int mounts_lock(const char *dir)
{
	autofree char *above = mem_strdup(dir);
	char *slash = strrchr(above, '/');
	if (slash)
		*slash = '\0';
	autoclose int fd = open(above, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 || flock(fd, LOCK_EX | LOCK_NB) ? -1 : steal_fd(&fd);
}

void mounts_unlock(int lock)
{
	close(lock);
}

int mounts_note(const char *dir, const char *to, struct error *err)
{
	autofree char *made = NULL, *path = resolve(to, &made);
	autojson json_t *notes = read_notes(dir), *shared = find_shared(dir, path);
	json_array_append_new(
		notes, shared ? json_deep_copy(shared) : mem_json("{s:s, s:s*}", "to", path, "made", made));
	return save_notes(dir, notes, err) || fs_mkdirs(path, 0755, err) ? -1 : 0;
}

int mounts_done(const char *dir, const char *to, struct error *err)
{
	autofree char *made = NULL, *path = resolve(to, &made);
	autojson json_t *notes = read_notes(dir);
	long id = find_mount(path, NULL);
	if (id < 0)
		return error_set(err, ERROR_SYSTEM, "'%s' is mounted, but cannot be found", path);
	json_object_set_new(note_of(notes, path), "id", json_integer(id));
	return save_notes(dir, notes, err);
}

// --- undoing ------------------------------------------------------------------------

// From the mount's own directory up to the first that was made.
static void remove_dirs(const char *path, const char *made)
{
	autofree char *at = mem_strdup(path);
	while (str_starts(at, made) && (rmdir(at) == 0 || errno == ENOENT)) { // not there: who began this was ended
		char *slash = strrchr(at, '/');
		if (strcmp(at, made) == 0 || !slash || slash == at)
			return;
		*slash = '\0';
	}
}

static int undo_one(const char *dir, const json_t *note, struct error *err)
{
	const char *path = json_string_value(json_object_get(note, "to")),
		   *made = json_string_value(json_object_get(note, "made"));
	const json_t *id = json_object_get(note, "id");
	autojson json_t *shared = path ? find_shared(dir, path) : NULL;
	if (!path || shared)
		return 0;
	long now = find_mount(path, NULL);
	bool ours = now >= 0 && (!id || json_integer_value(id) == now); // without a number it was about to be mounted
	if (ours && umount2(path, UMOUNT_NOFOLLOW) < 0 && umount2(path, UMOUNT_NOFOLLOW | MNT_DETACH) < 0)
		return error_errno(err, "cannot unmount '%s'", path);
	if (made)
		remove_dirs(path, made);
	return 0;
}

int mounts_undo(const char *dir, struct error *err)
{
	autoclose int lock = -1;
	while ((lock = mounts_lock(dir)) < 0 && fs_exists(dir))
		poll(NULL, 0, 50);
	autojson json_t *notes = read_notes(dir), *stay = json_array();
	for (size_t i = json_array_size(notes); i-- > 0;) // the last one first: it may be inside another
		if (undo_one(dir, json_array_get(notes, i), err))
			json_array_insert(stay, 0, json_array_get(notes, i));
	if (json_array_size(stay)) {
		save_notes(dir, stay, NULL);
		return -1;
	}
	autofree char *path = fs_join(dir, "mounts.json");
	unlink(path);
	return 0;
}

void mounts_abort(const char *dir)
{
	autojson json_t *notes = read_notes(dir);
	size_t i;
	json_t *note;
	json_array_foreach (notes, i, note) {
		const char *path = json_string_value(json_object_get(note, "to"));
		const json_t *id = json_object_get(note, "id");
		if (path && id && json_integer_value(id) == find_mount(path, NULL))
			umount2(path, UMOUNT_NOFOLLOW |
					      MNT_FORCE); // fails while it is in use, and has made them fail by then
	}
}

// Waits for a process, but not for ever. Its exit status, or -1.
static int wait_for(pid_t pid, int pidfd)
{
	struct pollfd end = {.fd = pidfd, .events = POLLIN};
	int status = -1;
	if (poll(&end, 1, (int)(patience * 1000)) <= 0)
		kill(pid, SIGKILL);
	else if (waitpid(pid, &status, 0) == pid && WIFEXITED(status))
		return WEXITSTATUS(status);
	return -1;
}

// `muster-agent WHAT DIR` as root.
static int run_agent(const char *what, const char *dir, const char *program, struct error *err)
{
	autofree char *self = fs_exists(program) ? NULL : proc_program();
	const char *const argv[] = {"sudo", "-n", "--", self ? self : program, what, dir, NULL};
	autoclose int words = memfd_create("words", MFD_CLOEXEC), pidfd = -1;
	struct proc_options options = {
		.argv = (char *const *)argv + (geteuid() == 0 ? 3 : 0), .in = -1, .out = words, .err = words};
	pid_t pid = proc_spawn(&options, &pidfd, err);
	if (pid < 0)
		return -1;
	int status = wait_for(pid, pidfd);
	char text[512] = "";
	ssize_t len = pread(words, text, sizeof text - 1, 0);
	text[len > 0 ? len : 0] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return status == 0 ? 0 : error_set(err, ERROR_SYSTEM, "%s", *text ? text : "it takes too long");
}

int mounts_clean(const char *dir, const char *program, struct error *err)
{
	autofree char *path = fs_join(dir, "mounts.json");
	if (!fs_exists(path) || run_agent("unmount", dir, program, err) == 0)
		return 0;
	return error_wrap(err, "cannot unmount what '%s' lists", path);
}

bool mounts_unblock(const char *dir, const char *program)
{
	struct error err;
	autofree char *path = fs_join(dir, "mounts.json");
	return fs_exists(path) && run_agent("unblock", dir, program, &err) == 0;
}
