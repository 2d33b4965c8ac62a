// A directory's sum: one SHA-256 for the names, modes, contents and links of everything below it.
// It does not follow links, and knows nothing of times and owners.
#ifndef BASE_TREE_CHECKSUM_H
#define BASE_TREE_CHECKSUM_H

#include "base/crypto.h"
#include "base/error.h"

// The same for the same contents, wherever they lie and in whatever order they are read.
int tree_checksum_make(const char *dir, char hex[CRYPTO_HEX], struct error *err);

#endif
