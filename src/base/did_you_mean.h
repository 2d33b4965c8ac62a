// Suggestions for misspelt names: the known name that the user probably meant, and the words that suggest it.
// It keeps no names of its own: callers pass the names that they know.
#ifndef BASE_DID_YOU_MEAN_H
#define BASE_DID_YOU_MEAN_H

// The name in the NULL-ended list that is closest to word: insertions, deletions, substitutions and swaps of neighbours
// count, in a third of the letters at most. NULL when no name is that close. Upper and lower case are the same.
const char *did_you_mean(const char *word, const char *const *names);

// The same with a fifth of the letters: for names of another place than the word's, which match by chance more often.
const char *did_you_mean_elsewhere(const char *word, const char *const *names);

// BEFORE + "did you mean 'NAME'?" + AFTER for the end of an error text, owned by the caller; "" when name is NULL.
char *did_you_mean_text(const char *before, const char *name, const char *after);

#endif
