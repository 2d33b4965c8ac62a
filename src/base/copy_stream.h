// A file or directory copied through a stream of bytes from one machine to another, put where `cp -r` would put it.
// It opens no connection.
//
// The stream: one line {"name", "mode", "size", "archive"}, then size bytes: those of the file, or of an archive of the
// directory.
#ifndef BASE_COPY_STREAM_H
#define BASE_COPY_STREAM_H

#include "base/error.h"
#include "base/tar_stream.h"

#include <sys/types.h>

// The line for what a tar stream was made of; owned by the caller.
char *copy_stream_head(const struct tar_stream *tar, const char *path);

// Writes all of it to fd.
int copy_stream_send(const char *path, int fd, struct error *err);

// Reads it from fd: below `to` by its own name when that is a directory or ends with '/' (then it is made), else as
// `to`. A file appears under its name when it is whole. Nothing is written outside of where that is, whatever the
// stream says.
int copy_stream_receive(int fd, const char *to, struct error *err);

#endif
