// A parcel: a file, or a directory as one archive, as bytes that may be read from any offset and are the same for
// everybody who reads them. It sends nothing.
#ifndef BASE_PARCEL_H
#define BASE_PARCEL_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct parcel;

// Looks at path, and for a directory at everything below it: names, modes, symbolic links as links; directories get the
// mode 0755. skip (may be NULL) is a directory below it that is left out. It may take long: another thread may set
// *cancelled. NULL and err when something cannot be read or is neither a file, a directory nor a symbolic link.
struct parcel *parcel_new(const char *path, const char *skip, const volatile int *cancelled, struct error *err);
void parcel_free(struct parcel *parcel); // no reader may be left; takes NULL

uint64_t parcel_size(const struct parcel *parcel);   // bytes to read
bool parcel_is_archive(const struct parcel *parcel); // of a directory; else the bytes of a file
mode_t parcel_mode(const struct parcel *parcel);     // of the file

// Somebody who reads; keeps one file open.
struct parcel_reader;
struct parcel_reader *parcel_open(const struct parcel *parcel);
void parcel_close(struct parcel_reader *reader); // takes NULL

// Bytes from offset on: less than size only at the end. -1 and err, which names the file, when one is not what it was
// when the parcel was made.
ssize_t parcel_read(struct parcel_reader *reader, uint64_t offset, void *buf, size_t size, struct error *err);

#endif
