// Archives: unpacks tar (plain, gz, xz, zst, bz2) and zip below a directory, and nothing anywhere else.
// It does not write archives. The only door to libarchive.
#ifndef BASE_TAR_H
#define BASE_TAR_H

#include "base/error.h"

#include <stdint.h>

// Unpacks the file path below the directory dir, which must exist. Refused, with the entry's name: absolute names, "..", symbolic and hard
// links that lead out, writing through a symbolic link, devices and the like. Modes are kept (without set-user-id and so on), owners and
// times are not; a file that is there is replaced. What was unpacked before an error stays. on_progress (may be NULL) is called now and
// then with the bytes written so far; *bytes (may be NULL) gets their sum.
int tar_unpack(
        const char *path, const char *dir, void (*on_progress)(uint64_t bytes, void *data), void *data, uint64_t *bytes, struct error *err);

#endif
