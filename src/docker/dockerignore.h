// What a .dockerignore file leaves out of a build's context: patterns line by line, the last one that matches decides.
// It reads no directory.
#ifndef DOCKER_DOCKERIGNORE_H
#define DOCKER_DOCKERIGNORE_H

#include <stdbool.h>

// Is path (relative to the context, without "./") left out by the text of the file? A pattern that matches a directory
// matches all below it; "!" brings back; "**" stands for any number of directories; "#" begins a comment.
bool dockerignore_match(const char *text, const char *path);

// Does any line bring something back? Then a directory that is left out has to be looked into all the same.
bool dockerignore_returns(const char *text);

#endif
