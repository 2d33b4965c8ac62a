// A file, or a directory as one tar archive, as bytes that can be read from any offset and are the same for everybody
// who reads them. It sends nothing.
#ifndef BASE_TAR_STREAM_H
#define BASE_TAR_STREAM_H

#include "base/error.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct tar_stream;

// Looks at path, and for a directory at everything below it: names, modes, symbolic links as links; directories get the
// mode 0755. skip (may be NULL) is a directory below it that is left out. It may take long: another thread may set
// *cancelled. NULL and err when something cannot be read or is neither a file, a directory nor a symbolic link.
struct tar_stream *tar_stream_new(const char *path, const char *skip, const atomic_bool *cancelled, struct error *err);
void tar_stream_free(struct tar_stream *tar); // no reader may be left; takes NULL

uint64_t tar_stream_size(const struct tar_stream *tar);   // bytes to read
bool tar_stream_is_archive(const struct tar_stream *tar); // of a directory; else the bytes of a file
mode_t tar_stream_mode(const struct tar_stream *tar);     // of the file

// Somebody who reads; keeps one file open.
struct tar_stream_reader;
struct tar_stream_reader *tar_stream_open(const struct tar_stream *tar);
void tar_stream_close(struct tar_stream_reader *reader); // takes NULL

// Bytes from offset on: less than size only at the end. -1 and err, which names the file, when one is not what it was
// when the tar was made.
ssize_t tar_stream_read(struct tar_stream_reader *reader, uint64_t offset, void *buf, size_t size, struct error *err);

#endif
