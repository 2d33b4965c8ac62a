#include "node/collect.h"

#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	NAMES_AT_ONCE = 4096, // sorted: more of one directory are taken in parts
	FOLLOWED_MAX = 8,     // links to directories, one below the other
	FOLLOWS_MAX = 10000,  // links to directories in all: links to one another can make any number of paths
};

// A directory that is being walked through.
struct level {
	const struct level *above;
	int fd;
	const uint64_t *state; // of the patterns; NULL: all that is in it comes back
	dev_t dev;
	ino_t ino;
	int followed; // links that lead here
};

struct walk {
	struct glob *globs;
	const struct collect_ops *ops;
	void *data;
	int top;
	size_t follows;        // links to directories that were followed
	char *root;            // the output directory's real path
	struct str path, real; // of what is being looked at; real: without the links that were followed
};

// --- paths ----------------------------------------------------------------------

static void push(struct str *path, const char *name)
{
	if (path->len)
		str_puts(path, "/");
	str_puts(path, name);
}

static void cut(struct str *path, size_t len)
{
	path->len = len;
	if (path->text)
		path->text[len] = '\0';
}

static void fail(const struct walk *w, const char *why)
{
	w->ops->on_failed(w->path.len ? w->path.text : ".", why, w->data);
}

static void skip(const struct walk *w, char *why)
{
	w->ops->on_skipped(w->path.text, why, w->data);
	free(why);
}

// Where a link at path must lead to reach target; both are below the same directory. Owned by the caller.
static char *relative(const char *path, const char *target)
{
	size_t same = 0;
	for (size_t i = 0; path[i] && (path[i] == target[i] || (path[i] == '/' && !target[i])); i++) {
		if (path[i] == '/')
			same = target[i] ? i + 1 : i;
		if (!target[i])
			break;
	}
	struct str link = {0};
	for (const char *at = path + same + (path[same] == '/'); (at = strchr(at, '/')); at++)
		push(&link, "..");
	if (target[same])
		push(&link, target + same);
	return link.len ? str_steal(&link) : mem_strdup(".");
}

// --- symbolic links -------------------------------------------------------------

// Does this path, which no link is on, come back by itself?
static bool comes_back(const struct walk *w, const char *path)
{
	size_t size = glob_words(w->globs) * sizeof(uint64_t);
	autofree uint64_t *state = mem_alloc(size), *next = mem_alloc(size);
	autofree char *copy = mem_strdup(path);
	char *rest = copy;
	glob_start(w->globs, state);
	bool found = glob_accepts(w->globs, state);
	for (char *name; !found && (name = strsep(&rest, "/"));) {
		glob_step(w->globs, state, name, true, next);
		found = glob_accepts(w->globs, next);
		memcpy(state, next, size);
	}
	return found;
}

// Below the output directory, the path of an open file; NULL when it is elsewhere (errno is 0) or cannot be known.
// Owned by the caller.
static char *real_path(const struct walk *w, int fd)
{
	char name[64], path[PATH_MAX];
	snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
	ssize_t n = readlink(name, path, sizeof path - 1);
	size_t len = strlen(w->root);
	if (n < 0)
		return NULL;
	path[n] = '\0';
	errno = 0;
	if (strncmp(path, w->root, len) != 0 || (path[len] != '/' && path[len] != '\0'))
		return NULL;
	return mem_strdup(path + len + (path[len] == '/'));
}

static void link_to(const struct walk *w, const char *real)
{
	autofree char *target = relative(w->path.text, real);
	w->ops->on_link(w->path.text, target, w->data);
}

// A link to nothing is no result, but where it stays inside it does no harm either.
static void look_at_dangling(const struct walk *w, int dirfd, const char *name, int why)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(dirfd, name, target, sizeof target - 1);
	if (n < 0 || (why != ENOENT && why != ELOOP && why != ENOTDIR)) {
		fail(w, strerror(n < 0 ? errno : why));
		return;
	}
	target[n] = '\0';
	if (fs_link_is_inside(w->path.text, target))
		w->ops->on_link(w->path.text, target, w->data);
	else
		skip(w, mem_printf("it is a symbolic link to '%s', which is not there", target));
}

static void walk(struct walk *w, struct level *level);

// Into the directory that a link leads to.
static void follow(struct walk *w, const struct level *above, int fd, const struct stat *st, const uint64_t *state,
	const char *real)
{
	for (const struct level *l = above; l; l = l->above)
		if (l->dev == st->st_dev && l->ino == st->st_ino) {
			skip(w, mem_printf("it is a symbolic link to a directory that it is in"));
			return;
		}
	if (above->followed == FOLLOWED_MAX) {
		fail(w, "too many symbolic links are on its path");
		return;
	}
	if (w->follows++ >= FOLLOWS_MAX) {
		if (w->follows == FOLLOWS_MAX + 1) // once: there may be very many
			fail(w, "too many symbolic links to directories are among the outputs");
		return;
	}
	struct level level = {.above = above,
		.fd = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC),
		.state = state,
		.dev = st->st_dev,
		.ino = st->st_ino,
		.followed = above->followed + 1};
	struct str before = w->real;
	w->real = (struct str){0};
	str_puts(&w->real, real);
	walk(w, &level);
	str_fini(&w->real);
	w->real = before;
}

// state: of the patterns behind the link, NULL when it is to come back itself.
static void look_at_link(struct walk *w, const struct level *in, const char *name, const uint64_t *state)
{
	struct stat st;
	autoclose int fd = openat(in->fd, name, O_PATH | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0) {
		if (!state)
			look_at_dangling(w, in->fd, name, errno);
		else if (errno != ENOENT && errno != ELOOP && errno != ENOTDIR) // else there is nothing behind it
			fail(w, strerror(errno));
		return;
	}
	autofree char *real = real_path(w, fd);
	if (!real && errno)
		fail(w, strerror(errno));
	else if (!real && (!state || S_ISDIR(st.st_mode)))
		skip(w, mem_printf("it is a symbolic link that leads out of the output directory"));
	else if (real && !state && comes_back(w, real))
		link_to(w, real);
	else if (real && S_ISDIR(st.st_mode))
		follow(w, in, fd, &st, state, real);
	else if (real && !state && S_ISREG(st.st_mode))
		w->ops->on_file(w->path.text, real, (uint64_t)st.st_size, (unsigned)(st.st_mode & 0777), w->data);
	else if (real && !state)
		skip(w, mem_printf("it is a symbolic link to neither a file nor a directory"));
}

// --- the walk -------------------------------------------------------------------

static void enter(
	struct walk *w, const struct level *in, const char *name, const struct stat *st, const uint64_t *state)
{
	struct level level = {.above = in,
		.fd = openat(in->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC),
		.state = state,
		.dev = st->st_dev,
		.ino = st->st_ino,
		.followed = in->followed};
	walk(w, &level);
}

static void found_file(struct walk *w, const struct level *in, const struct stat *st)
{
	if (in->followed && comes_back(w, w->real.text))
		link_to(w, w->real.text);
	else
		w->ops->on_file(
			w->path.text, w->real.text, (uint64_t)st->st_size, (unsigned)(st->st_mode & 0777), w->data);
}

// scratch has room for two states.
static void look_at(struct walk *w, const struct level *in, const char *name, uint64_t *scratch)
{
	const uint64_t *state = NULL;
	uint64_t *behind_link = scratch + glob_words(w->globs);
	if (in->state) {
		glob_step(w->globs, in->state, name, true, scratch);
		state = glob_accepts(w->globs, scratch) ? NULL : scratch;
		if (state && glob_is_dead(w->globs, state))
			return;
	}
	struct stat st;
	if (fstatat(in->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		fail(w, strerror(errno));
	else if (S_ISDIR(st.st_mode))
		enter(w, in, name, &st, state);
	else if (S_ISLNK(st.st_mode)) {
		if (state)
			glob_step(w->globs, in->state, name, false, behind_link);
		if (!state || !glob_is_dead(w->globs, behind_link))
			look_at_link(w, in, name, state ? behind_link : NULL);
	} else if (!state && S_ISREG(st.st_mode))
		found_file(w, in, &st);
	else if (!state)
		skip(w, mem_printf("it is neither a file, a directory nor a symbolic link"));
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

// Up to so many names, in order; the array is the caller's. Fewer: the directory is at its end, or errno says why not.
static size_t read_names(DIR *dir, char ***names)
{
	size_t n = 0;
	errno = 0;
	for (struct dirent *e; n < NAMES_AT_ONCE && (e = readdir(dir));) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if ((n & (n - 1)) == 0)
			*names = mem_resize(*names, (n ? n * 2 : 1) * sizeof **names);
		(*names)[n++] = mem_strdup(e->d_name);
	}
	int why = n < NAMES_AT_ONCE ? errno : 0;
	if (n)
		qsort(*names, n, sizeof **names, compare);
	errno = why;
	return n;
}

static void look_at_names(struct walk *w, const struct level *level, char **names, size_t n)
{
	size_t path = w->path.len, real = w->real.len;
	autofree uint64_t *scratch = mem_alloc(2 * glob_words(w->globs) * sizeof *scratch);
	for (size_t i = 0; i < n; i++) {
		push(&w->path, names[i]);
		push(&w->real, names[i]);
		look_at(w, level, names[i], scratch);
		cut(&w->path, path);
		cut(&w->real, real);
		free(names[i]);
	}
	if (w->ops->on_progress)
		w->ops->on_progress(w->data);
}

// Closes the level's descriptor, which may be -1: errno says why.
static void walk(struct walk *w, struct level *level)
{
	DIR *dir = level->fd < 0 ? NULL : fdopendir(level->fd);
	if (!dir) {
		fail(w, strerror(errno));
		mem_cleanup_fd(&level->fd);
		return;
	}
	size_t n;
	int why;
	do {
		autofree char **names = NULL;
		n = read_names(dir, &names);
		why = errno;
		look_at_names(w, level, names, n);
	} while (n == NAMES_AT_ONCE);
	if (why)
		fail(w, strerror(why));
	closedir(dir);
}

void collect_walk(const char *dir, struct glob *globs, const struct collect_ops *ops, void *data)
{
	struct walk w = {.globs = globs, .ops = ops, .data = data};
	struct stat st = {0};
	autofree uint64_t *state = mem_alloc(glob_words(globs) * sizeof *state);
	glob_start(globs, state);
	struct level level = {.fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
		.state = glob_accepts(globs, state) ? NULL : state};
	w.root = realpath(dir, NULL);
	if (level.fd < 0 || !w.root || fstat(level.fd, &st) < 0) {
		fail(&w, strerror(errno));
		mem_cleanup_fd(&level.fd);
	} else {
		level.dev = st.st_dev;
		level.ino = st.st_ino;
		walk(&w, &level);
	}
	free(w.root);
	str_fini(&w.path);
	str_fini(&w.real);
}
