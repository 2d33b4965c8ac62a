// Members of JSON objects that may not be there, or be of another type: NULL and 0 then.
// It makes and changes nothing.
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <jansson.h>
#include <stdbool.h>

enum { JSON_NUMBERS = 65536 }; // nodes and ranks there may be: a damaged line must not make millions

const char *json_text(const json_t *object, const char *name);
double json_number(const json_t *object, const char *name);
bool json_has(const json_t *object, const char *name);                  // and it is not null
bool json_is(const json_t *object, const char *name, const char *word); // the text is that word
long json_whole(const json_t *object, const char *name);                // of 0 to JSON_NUMBERS - 1, else -1
size_t json_count(const json_t *object, const char *name);              // of an array

#endif
