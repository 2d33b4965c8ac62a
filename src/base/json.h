// Members of JSON objects that may not be there, or be of another type: NULL, 0 and false then; lists of texts.
// It reads and writes no JSON text: jansson does.
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <jansson.h>
#include <stdbool.h>

enum { JSON_NUMBERS = 65536 }; // nodes and ranks there may be: a damaged line must not make millions

const char *json_text(const json_t *object, const char *name);
const char *json_text_or(const json_t *object, const char *name, const char *fallback); // fallback instead of NULL
double json_number(const json_t *object, const char *name);
json_int_t json_int(const json_t *object, const char *name);            // 0 for a number that is not whole
bool json_flag(const json_t *object, const char *name);                 // it is true, not only there
bool json_has(const json_t *object, const char *name);                  // and it is not null
bool json_is(const json_t *object, const char *name, const char *word); // the text is that word
long json_whole(const json_t *object, const char *name);                // of 0 to JSON_NUMBERS - 1, else -1
size_t json_count(const json_t *object, const char *name);              // of an array

// An array of texts; other items in it are passed over.
bool json_contains(const json_t *texts, const char *text);
void json_add_once(json_t *texts, const char *text); // at the end, unless it is in there already

#endif
