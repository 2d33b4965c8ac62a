#include "base/fs.h"

#include "base/mem.h"
#include "base/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

char *fs_read(const char *path, size_t max, size_t *len, struct error *err)
{
	autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		error_errno(err, "cannot open '%s'", path);
		return NULL;
	}
	autostr struct str s = {0};
	char chunk[16384];
	ssize_t n;
	while ((n = read(fd, chunk, sizeof chunk)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			error_errno(err, "cannot read '%s'", path);
			return NULL;
		}
		if (s.len + (size_t)n > max) {
			error_set(err, ERROR_SYSTEM, "'%s' is larger than %zu bytes", path, max);
			return NULL;
		}
		str_add(&s, chunk, (size_t)n);
	}
	if (len)
		*len = s.len;
	return str_steal(&s);
}

int fs_write_fd(int fd, const void *bytes, size_t len, struct error *err)
{
	const char *at = bytes;
	while (len) {
		ssize_t n = write(fd, at, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_errno(err, "cannot write");
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

char *fs_read_all(int fd, size_t *len)
{
	off_t size = lseek(fd, 0, SEEK_END);
	char *bytes = mem_alloc(size > 0 ? (size_t)size + 1 : 1);
	ssize_t n = size > 0 ? pread(fd, bytes, (size_t)size, 0) : 0;
	*len = n > 0 ? (size_t)n : 0;
	return bytes;
}

int fs_write(const char *path, const void *bytes, size_t len, mode_t mode, struct error *err)
{
	autofree char *beside = mem_printf("%s.tmp%d", path, (int)getpid());
	autoclose int fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
	if (fd < 0)
		return error_errno(err, "cannot create '%s'", beside);
	if (fs_write_fd(fd, bytes, len, err) < 0 || close(steal_fd(&fd)) < 0) {
		unlink(beside);
		return error_wrap(err, "'%s'", path);
	}
	if (rename(beside, path) < 0) {
		error_errno(err, "cannot rename '%s' to '%s'", beside, path);
		unlink(beside);
		return -1;
	}
	return 0;
}

int fs_mkdirs(const char *path, mode_t mode, struct error *err)
{
	autofree char *copy = mem_strdup(path);
	for (char *at = copy + 1; *copy; at++) {
		if (*at != '/' && *at != '\0')
			continue;
		char kept = *at;
		*at = '\0';
		if (mkdir(copy, mode) < 0 && errno != EEXIST)
			return error_errno(err, "cannot make directory '%s'", copy);
		*at = kept;
		if (!kept)
			break;
	}
	struct stat st;
	if (stat(path, &st) < 0)
		return error_errno(err, "cannot make directory '%s'", path);
	if (!S_ISDIR(st.st_mode))
		return error_set(err, ERROR_SYSTEM, "'%s' is there but is no directory", path);
	return 0;
}

// A tree that is being removed. What lies deeper than this is first moved to its top: each level costs a descriptor.
enum { LEVELS_MAX = 100 };
struct removal {
	int top;
	unsigned long moved;
};

static int move_up(struct removal *r, int dirfd, const char *name, struct error *err)
{
	char to[64];
	fchmodat(dirfd, name, 0700, 0); // its entry .. is changed
	do
		snprintf(to, sizeof to, ".muster-removes-%lu", r->moved++);
	while (renameat(dirfd, name, r->top, to) < 0 && (errno == ENOTEMPTY || errno == EEXIST || errno == ENOTDIR));
	return faccessat(r->top, to, F_OK, AT_SYMLINK_NOFOLLOW) < 0 ? error_errno(err, "cannot remove '%s'", name) : 0;
}

static int open_to_remove(int dirfd, const char *name)
{
	int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == EACCES && fchmodat(dirfd, name, 0700, 0) == 0)
		fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd;
}

// Removes name below dirfd, whatever it is; the first failure is kept in err.
static int remove_at(struct removal *r, int dirfd, const char *name, int level, struct error *err)
{
	if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (level == LEVELS_MAX)
		return unlinkat(dirfd, name, AT_REMOVEDIR) == 0 ? 0 : move_up(r, dirfd, name, err);
	int fd = open_to_remove(dirfd, name);
	if (fd < 0)
		return error_errno(err, "cannot remove '%s'", name);
	if (level == 0)
		r->top = fd;
	DIR *dir = fdopendir(fd);
	fchmod(fd, 0700);
	int failed = 0;
	unsigned long moved;
	do {
		moved = r->moved;
		rewinddir(dir);
		for (struct dirent *e; (e = readdir(dir));)
			if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
				remove_at(r, fd, e->d_name, level + 1, failed ? NULL : err) < 0)
				failed = -1;
	} while (level == 0 && moved != r->moved && failed == 0);
	closedir(dir);
	if (failed == 0 && unlinkat(dirfd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		failed = error_errno(err, "cannot remove directory '%s'", name);
	return failed;
}

int fs_remove(const char *path, struct error *err)
{
	return remove_at(&(struct removal){0}, AT_FDCWD, path, 0, err);
}

static int copy_bytes(int in, int out, const char *from, const char *to, atomic_size_t *bytes, struct error *err)
{
	for (;;) {
		ssize_t n = copy_file_range(in, NULL, out, NULL, 1 << 24, 0);
		if (n < 0 && (errno == EXDEV || errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP))
			break;
		if (n < 0)
			return error_errno(err, "cannot copy '%s' to '%s'", from, to);
		if (n == 0)
			break; // the end, or a file that says it is empty and is not (/proc): the loop below finds out
		*bytes += (size_t)n;
	}
	autofree char *chunk = mem_alloc(1 << 18);
	for (ssize_t n; (n = read(in, chunk, 1 << 18)) != 0;) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_errno(err, "cannot read '%s'", from);
		if (fs_write_fd(out, chunk, (size_t)n, err) < 0)
			return error_wrap(err, "copying '%s' to '%s'", from, to);
		*bytes += (size_t)n;
	}
	return 0;
}

static int copy_file(const char *from, const char *to, mode_t mode, atomic_size_t *bytes, struct error *err)
{
	autoclose int in = open(from, O_RDONLY | O_CLOEXEC);
	if (in < 0)
		return error_errno(err, "cannot open '%s'", from);
	autoclose int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode | 0200);
	if (out < 0)
		return error_errno(err, "cannot create '%s'", to);
	if (copy_bytes(in, out, from, to, bytes, err) < 0)
		return -1;
	fchmod(out, mode | 0200);
	if (close(steal_fd(&out)) < 0)
		return error_errno(err, "cannot write '%s'", to);
	return 0;
}

static int copy_dir(const char *from, const char *to, atomic_size_t *bytes, struct error *err)
{
	DIR *dir = opendir(from);
	if (!dir)
		return error_errno(err, "cannot open directory '%s'", from);
	int failed = 0;
	if (mkdir(to, 0755) < 0)
		failed = error_errno(err, "cannot make directory '%s'", to);
	for (struct dirent *e; failed == 0 && (e = readdir(dir));) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		autofree char *f = fs_join(from, e->d_name);
		autofree char *t = fs_join(to, e->d_name);
		failed = fs_copy(f, t, bytes, err);
	}
	closedir(dir);
	return failed;
}

int fs_copy(const char *from, const char *to, atomic_size_t *bytes, struct error *err)
{
	atomic_size_t ignored = 0;
	if (!bytes)
		bytes = &ignored;
	struct stat st;
	if (lstat(from, &st) < 0)
		return error_errno(err, "cannot read '%s'", from);
	if (S_ISREG(st.st_mode))
		return copy_file(from, to, st.st_mode & 0777, bytes, err);
	if (S_ISDIR(st.st_mode))
		return copy_dir(from, to, bytes, err);
	if (!S_ISLNK(st.st_mode))
		return error_set(err, ERROR_SYSTEM, "'%s' is neither a file, a directory nor a symbolic link", from);
	char target[4096];
	ssize_t n = readlink(from, target, sizeof target - 1);
	if (n < 0)
		return error_errno(err, "cannot read '%s'", from);
	target[n] = '\0';
	return symlink(target, to) < 0 ? error_errno(err, "cannot create '%s'", to) : 0;
}

bool fs_is_inside(const char *path)
{
	if (*path == '\0' || *path == '/')
		return false;
	for (const char *at = path; at; at = strchr(at, '/')) {
		at += *at == '/';
		if (at[0] == '.' && at[1] == '.' && (at[2] == '/' || at[2] == '\0'))
			return false;
	}
	return true;
}

// Only leading ".."s are understood: behind a name ".." would depend on where that name leads, and a chain of harmless
// links could climb out.
bool fs_link_is_inside(const char *name, const char *target)
{
	if (*target == '/' || *target == '\0')
		return false;
	size_t depth = 0;
	for (const char *at = name, *slash; (slash = strchr(at, '/')); at = slash + strspn(slash, "/"))
		depth += slash - at != 1 || *at != '.'; // "." leads nowhere
	while (strncmp(target, "..", 2) == 0 && (target[2] == '/' || target[2] == '\0')) {
		if (depth-- == 0)
			return false;
		target += 2;
		target += strspn(target, "/");
	}
	return *target == '\0' || fs_is_inside(target);
}

// Paths may be longer than the kernel takes: those are opened in pieces.
enum { PIECE = 4000, SHOWN = 300 };

static int open_piece(int dirfd, const char *path, int flags, mode_t mode, bool beneath)
{
	struct open_how how = {.flags = (unsigned)(flags | O_CLOEXEC),
		.mode = flags & O_CREAT ? mode : 0,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
	return beneath ? (int)syscall(SYS_openat2, dirfd, path, &how, sizeof how)
		       : openat(dirfd, path, flags | O_CLOEXEC, mode);
}

static int open_pieces(int dirfd, const char *path, int flags, mode_t mode, bool beneath)
{
	autoclose int at = -1;
	while (strlen(path) > PIECE) {
		const char *slash = memrchr(path, '/', PIECE);
		if (!slash) {
			errno = ENAMETOOLONG;
			return -1;
		}
		autofree char *piece = mem_strndup(path, (size_t)(slash - path) + 1);
		int next = open_piece(at < 0 ? dirfd : at, piece, O_PATH | O_DIRECTORY, 0, beneath);
		if (next < 0)
			return -1;
		mem_cleanup_fd(&at);
		at = next;
		path = slash + strspn(slash, "/");
	}
	return open_piece(at < 0 ? dirfd : at, path, flags, mode, beneath);
}

int fs_open_beneath(int dirfd, const char *path, int flags, mode_t mode, struct error *err)
{
	if (!fs_is_inside(path))
		return error_set(err, ERROR_SYSTEM, "'%.*s' is not a relative path without '..'", SHOWN, path);
	int fd = open_pieces(dirfd, path, flags, mode, true);
	return fd < 0 ? error_errno(err, "cannot open '%.*s'", SHOWN, path) : fd;
}

int fs_open_at(int dirfd, const char *path, int flags)
{
	return open_pieces(dirfd, path, flags, 0, false);
}

int fs_open_parent(int dirfd, const char *path, const char **last, struct error *err)
{
	const char *slash = strrchr(path, '/');
	*last = slash ? slash + 1 : path;
	autofree char *parent = slash ? mem_strndup(path, (size_t)(slash - path)) : mem_strdup(".");
	return fs_open_beneath(dirfd, parent, O_PATH | O_DIRECTORY, 0, err);
}

int fs_mkdirs_beneath(int dirfd, const char *path, struct error *err)
{
	if (!fs_is_inside(path))
		return error_set(err, ERROR_SYSTEM, "'%.*s' is not a relative path without '..'", SHOWN, path);
	autofree char *copy = mem_strdup(path);
	autoclose int at = dup(dirfd);
	char *rest = copy;
	for (char *slash; (slash = strchr(rest, '/')); rest = slash + 1) {
		*slash = '\0';
		if (*rest == '\0' || strcmp(rest, ".") == 0)
			continue;
		if (mkdirat(at, rest, 0755) < 0 && errno != EEXIST)
			return error_errno(err, "cannot make directory '%s' of '%.*s'", rest, SHOWN, path);
		int next = openat(at, rest, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (next < 0)
			return error_errno(err, "cannot enter '%s' of '%.*s'", rest, SHOWN, path);
		close(at);
		at = next;
	}
	return 0;
}

char *fs_join(const char *dir, const char *name)
{
	if (*name == '/')
		return mem_strdup(name);
	return mem_printf("%s%s%s", dir, str_ends(dir, "/") ? "" : "/", name);
}

char *fs_absolute(const char *path, struct error *err)
{
	if (*path == '/')
		return mem_strdup(path);
	autofree char *here = getcwd(NULL, 0);
	if (!here) {
		error_errno(err, "cannot find the current directory");
		return NULL;
	}
	return fs_join(here, strcmp(path, ".") == 0 ? "" : path);
}

char *fs_which(const char *program, const char *path)
{
	if (strchr(program, '/'))
		return access(program, X_OK) == 0 ? mem_strdup(program) : NULL;
	while (path && *path) {
		size_t len = strcspn(path, ":");
		autofree char *dir = mem_strndup(len ? path : ".", len ? len : 1);
		autofree char *file = fs_join(dir, program);
		struct stat st;
		if (stat(file, &st) == 0 && S_ISREG(st.st_mode) && access(file, X_OK) == 0)
			return steal(file);
		path += len + (path[len] == ':');
	}
	return NULL;
}

char *fs_beside(const char *name)
{
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
	if (n < 0)
		return mem_strdup(name);
	self[n] = '\0';
	*strrchr(self, '/') = '\0';
	return fs_join(self, name);
}

bool fs_exists(const char *path)
{
	return access(path, F_OK) == 0;
}
