// What the trainers' unit tests share: that something dies, with which words; scratch files.
// Not part of any trainer.
#ifndef COMMON_TESTING_H
#define COMMON_TESTING_H
#include <stddef.h>

// Runs F(ARG) in a child. Fails the test unless it dies (exit 1) with WORDS in its message.
void testing_dies(void (*f)(void *), void *arg, const char *words);

// A new empty directory, removed with what is in it by testing_remove. Caller frees the name.
char *testing_folder(void);
void testing_remove(char *folder);

// FOLDER/NAME; the second also writes SIZE bytes there. Caller frees the path.
char *testing_path(const char *folder, const char *name);
char *testing_file(const char *folder, const char *name, const void *data, size_t size);

#endif
