// Members of JSON objects that may not be there, or be of another type: NULL and 0 then.
// It makes and changes nothing.
#ifndef BASE_TREE_H
#define BASE_TREE_H

#include <jansson.h>
#include <stdbool.h>

enum { TREE_NUMBERS = 65536 }; // nodes and ranks there may be: a damaged line must not make millions

const char *tree_text(const json_t *object, const char *name);
double tree_number(const json_t *object, const char *name);
bool tree_has(const json_t *object, const char *name);                  // and it is not null
bool tree_is(const json_t *object, const char *name, const char *word); // the text is that word
long tree_whole(const json_t *object, const char *name);                // of 0 to TREE_NUMBERS - 1, else -1
size_t tree_count(const json_t *object, const char *name);              // of an array

#endif
