// Archives: unpacks tar (plain, gz, xz, zst, bz2) and zip below a directory, and nothing anywhere else; writes plain
// tar, or only the heads of its entries, and gzip. It chooses no files. The only door to libarchive.
#ifndef BASE_ARCHIVES_H
#define BASE_ARCHIVES_H

#include "base/error.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

// Unpacks the file path below the directory dir, which must exist. Refused, with the entry's name: absolute names,
// "..", symbolic and hard links that lead out, writing through a symbolic link, devices and the like. Modes are kept
// (without set-user-id and so on), owners and times are not; a file that is there is replaced. What was unpacked before
// an error stays. on_progress (may be NULL) is called now and then with the bytes written so far; *bytes (may be NULL)
// gets their sum.
int archives_unpack(const char *path, const char *dir, void (*on_progress)(uint64_t bytes, void *data), void *data,
	uint64_t *bytes, struct error *err);

// An archive that comes in pieces, not compressed.
struct archives_source {
	const char *name;                                    // for errors
	ssize_t (*read)(void *buf, size_t size, void *data); // as read(2)
	void (*on_progress)(uint64_t bytes, void *data);     // may be NULL
	void *data;
};

// The same from a source. Symbolic links may lead anywhere: they are the user's own, and nothing is written through
// them.
int archives_unpack_from(const struct archives_source *source, const char *dir, struct error *err);

enum {
	ARCHIVES_BLOCK = 512,
	ARCHIVES_END = 2 * ARCHIVES_BLOCK
}; // an entry's bytes are filled up to whole blocks; blocks of zeros end an archive

struct archives_entry {
	const char *name, *link; // link: where a symbolic link leads
	mode_t mode;             // with the kind: a file, a directory or a symbolic link
	uint64_t size;           // of a file
};

// Adds what stands before the bytes of an entry: one or more blocks. Any bytes may be in its name and its link, and any
// number of them.
int archives_head(const struct archives_entry *entry, struct str *to, struct error *err);

// Writes a tar archive to fd, which stays the caller's, piece by piece.
struct archives_writer;
struct archives_writer *archives_writer_new(int fd, struct error *err);

// Adds the file, directory or symbolic link at path under the name it shall have inside; with its mode, owned by root.
// What else there is (a socket) is an error that names it.
int archives_add(struct archives_writer *w, const char *path, const char *name, struct error *err);

int archives_writer_end(struct archives_writer *w, struct error *err); // writes what is left and frees it
void archives_writer_free(struct archives_writer *w);                  // gives up; takes NULL

// Adds bytes as a gzip stream, compressed as well as gzip can. The same bytes give the same stream.
int archives_gzip(const void *bytes, size_t len, struct str *to, struct error *err);

#endif
