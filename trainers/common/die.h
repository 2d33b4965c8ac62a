// How a trainer ends on an error: one line with file, line and reason, then exit 1.
// Not a way to report an error to a caller: a trainer has no caller that could mend anything.
#ifndef COMMON_DIE_H
#define COMMON_DIE_H

// Prints "FILE:LINE: text" to stderr, runs the hook, exits 1 at once (no atexit handlers). Text as for printf.
#define die(...) die_at(__FILE__, __LINE__, __VA_ARGS__)

void die_at(const char *file, int line, const char *format, ...) __attribute__((noreturn, format(printf, 3, 4)));

// Calls HOOK once, after the message and before the exit: the place to take the other ranks down too.
void die_set_hook(void (*hook)(void));

#endif
