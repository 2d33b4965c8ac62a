#include "common/die.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

static void (*exit_hook)(void);

void die_set_hook(void (*hook)(void))
{
	exit_hook = hook;
}

void die_at(const char *file, int line, const char *format, ...)
{
	char text[2048];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);

	fflush(stdout);
	fprintf(stderr, "%s:%d: %s\n", file, line, text); // one call, so that lines of several ranks do not mix
	void (*hook)(void) = exit_hook;
	exit_hook = NULL; // a hook that dies itself must not come back here
	if (hook)
		hook();
	_exit(1);
}
