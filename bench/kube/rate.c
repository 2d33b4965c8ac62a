// rate PATTERN BYTES SECONDS: how fast a file grows to BYTES. It does not read it: prints MB a second from its first
// byte to its last; status 1 when that is not the BYTES-th, after SECONDS or when the file has not grown for a while.
//
// PATTERN is a path with wildcards, of one file, which need not be there yet.
#include <glob.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

static const double stalled_after = 20;

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static long long size_of(const char *pattern)
{
	glob_t found;
	struct stat st;
	long long size = 0;
	if (glob(pattern, 0, NULL, &found) == 0 && found.gl_pathc > 0 && stat(found.gl_pathv[0], &st) == 0)
		size = st.st_size;
	globfree(&found);
	return size;
}

int main(int argc, char **argv)
{
	if (argc != 4) {
		fputs("usage: rate PATTERN BYTES SECONDS\n", stderr);
		return 2;
	}
	long long wanted = atoll(argv[2]), size = 0;
	double start = now(), end = start + atof(argv[3]), first = 0, grown = start;
	for (double at = start; at < end && size < wanted; at = now()) {
		long long new = size_of(argv[1]);
		first = first == 0 && new > 0 ? at : first;
		grown = new > size || new == 0 ? at : grown;
		size = new;
		if (at - grown > stalled_after)
			break;
		poll(NULL, 0, 2);
	}
	printf("%.1f\n", grown > first ? (double)size / (grown - first) / 1e6 : 0);
	return size < wanted;
}
