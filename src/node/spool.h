// A spool: the bytes of one stream, from the moment they are known until the controller has acknowledged them: few in
// memory, many on disk. It does no networking: uplink reads it.
#ifndef NODE_SPOOL_H
#define NODE_SPOOL_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct spool;

// A spool that is appended to. When it no longer fits into some memory, it goes into a file of dir that has no name, so
// that nothing stays behind whatever happens.
struct spool *spool_new(const char *dir, struct error *err);

// A spool that is a file of the given size which is there already, at path below the directory dirfd (which stays the
// caller's); opened when it is read first.
struct spool *spool_of_file(int dirfd, const char *path, uint64_t size);
void spool_free(struct spool *spool);

// Appends. -1 when the disk is full: what did not fit is kept in memory, and the caller should stop producing until
// spool_flush returns 0, which it does as what was before is acknowledged even if the disk stays full.
int spool_add(struct spool *spool, const void *bytes, size_t len);
int spool_flush(struct spool *spool);

uint64_t spool_end(const struct spool *spool);   // bytes so far
uint64_t spool_acked(const struct spool *spool); // bytes the controller has
bool spool_is_done(const struct spool *spool);   // everything is acknowledged

// Reads up to size bytes from where the last one ended; 0 when there is nothing (or the file is not readable: then see
// spool_failed).
size_t spool_next(struct spool *spool, uint64_t *offset, void *buf, size_t size);
bool spool_pending(const struct spool *spool);       // would spool_next give something?
const char *spool_failed(const struct spool *spool); // why a file could not be read, NULL when all is well

void spool_rewind(struct spool *spool, uint64_t offset); // the controller has this much: go on from there
void spool_ack(struct spool *spool, uint64_t offset);    // the same news without going back; frees the disk behind it

#endif
