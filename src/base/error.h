// An error as a value: a code and one line of text, on the caller's stack.
// It does not print and does not log: main.c and muster_agent.c print the error that ends a program, once.
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

// The code is the exit status the program ends with when nobody handles the error.
enum {
	ERROR_JOB = 1,         // the job failed
	ERROR_USAGE = 2,       // command line or job file
	ERROR_SYSTEM = 3,      // muster, the executor or the operating system failed
	ERROR_CANCELLED = 130, // somebody cancelled it
};

struct error {
	int code;
	char text[1024]; // lower case, no full stop: the value in question and what was expected
};

// Sets the error and returns -1, so that failing is one line. err may be NULL.
int error_set(struct error *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

// As error_set with ERROR_SYSTEM; appends ": " and the text of errno.
int error_errno(struct error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

// Puts "fmt: " before the text that is there; keeps the code; returns -1.
int error_wrap(struct error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
