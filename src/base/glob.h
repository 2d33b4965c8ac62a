// Patterns of paths, matched name by name while a tree is walked, in time linear in patterns and names.
// It reads no directory.
//
// Within one name: * (any bytes), ? (one character, of UTF-8 where it is that), [a-z], [!a-z] and [[:digit:]]; a
// backslash takes the meaning from the next character. A leading dot is matched only by a dot. ** as a whole name
// stands for any number of names. {a,b} stands for both. Empty names, "." and a slash at the end mean nothing.
#ifndef BASE_GLOB_H
#define BASE_GLOB_H

#include "base/error.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { GLOB_ALTERNATIVES = 1000 }; // that the braces of one pattern may stand for

// Is the pattern one that glob_new takes? It is unless it stands for too many.
int glob_check(const char *pattern, struct error *err);

struct glob;
struct glob *glob_new(const json_t *patterns, struct error *err); // an array of texts
void glob_free(struct glob *glob);                                // takes NULL

// How far each pattern has come after some names of a path: glob_words words of bits, the caller's own.
size_t glob_words(const struct glob *glob);
void glob_start(const struct glob *glob, uint64_t *state); // before the first name

// After one more name; from and to differ. stays: ** may stand for this name and for more (not for a link that is
// followed).
void glob_step(const struct glob *glob, const uint64_t *from, const char *name, bool stays, uint64_t *to);

bool glob_is_dead(const struct glob *glob, const uint64_t *state); // no longer path can match

// Does a pattern match the path as it is? Those that do are remembered for glob_unmatched.
bool glob_accepts(struct glob *glob, const uint64_t *state);

json_t *glob_unmatched(const struct glob *glob); // the patterns that have matched nothing; owned by the caller

#endif
