// Files: whole reads, whole writes, trees made and removed, paths that stay where they belong.
// It does not know what any file means.
#ifndef BASE_FS_H
#define BASE_FS_H

#include "base/error.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

// The whole file, NUL-ended, owned by the caller; *len (may be NULL) without the NUL. NULL on error, also when larger
// than max bytes.
char *fs_read(const char *path, size_t max, size_t *len, struct error *err);

// The whole of a file that is in memory, NUL-ended, owned by the caller.
char *fs_read_all(int fd, size_t *len);

// Writes all bytes or fails. fs_write: beside the target, then renamed, mode as given.
int fs_write_fd(int fd, const void *bytes, size_t len, struct error *err);
int fs_write(const char *path, const void *bytes, size_t len, mode_t mode, struct error *err);

int fs_mkdirs(const char *path, mode_t mode, struct error *err); // with parents; an existing directory is fine

// Removes a tree, never following a symbolic link out of it; what is not there is no error. Tries everything, reports
// the first failure.
int fs_remove(const char *path, struct error *err);

// Copies a file or a directory tree (contents, modes, symbolic links as links). to must not exist; its parent must.
// *bytes is added to as they are copied: another thread may read it. It may be NULL.
int fs_copy(const char *from, const char *to, atomic_size_t *bytes, struct error *err);

// "a/b/../c" and "/x" and "" are not: relative, no "..", no empty path. Paths from outside are checked with this and
// then opened with fs_open_beneath, which also refuses symbolic links that lead out of dirfd. Returns a descriptor or
// -1.
bool fs_is_inside(const char *path);
int fs_open_beneath(int dirfd, const char *path, int flags, mode_t mode, struct error *err);

// Opens what is there, also when the path is longer than the kernel takes at once. A descriptor, or -1 and errno.
int fs_open_at(int dirfd, const char *path, int flags);

// The directory beneath dirfd that holds path (a descriptor for *at functions, or -1); *last is its name there.
int fs_open_parent(int dirfd, const char *path, const char **last, struct error *err);

// Does a symbolic link that is called name lead to something below the directory that name is relative to?
bool fs_link_is_inside(const char *name, const char *target);

// Makes the parent directories of path below dirfd (0755), refusing links that lead out.
int fs_mkdirs_beneath(int dirfd, const char *path, struct error *err);

char *fs_join(const char *dir, const char *name); // "dir/name"; name alone when it is absolute; owned by the caller
char *fs_absolute(
	const char *path, struct error *err); // against the current directory; need not exist; owned by the caller
char *fs_which(const char *program,
	const char *path);         // searches path (a PATH string); NULL when not found; owned by the caller
char *fs_beside(const char *name); // a file next to the running executable; owned by the caller
bool fs_exists(const char *path);

#endif
