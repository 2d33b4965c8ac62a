#include "cmd/logs_since.h"

#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "job/units.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { LOOK_BACK = 64 << 10 }; // for the beginning of a line

static bool parse_time(const char *text, double now, double *when)
{
	static const struct {
		const char *format;
		bool today;
	} forms[] = {{"%Y-%m-%dT%H:%M:%S", false}, {"%Y-%m-%d %H:%M:%S", false}, {"%Y-%m-%dT%H:%M", false},
		{"%Y-%m-%d %H:%M", false}, {"%Y-%m-%d", false}, {"%H:%M:%S", true}, {"%H:%M", true}};
	for (size_t i = 0; i < countof(forms); i++) {
		struct tm tm = {0};
		time_t today = (time_t)now;
		bool utc = *text && text[strlen(text) - 1] == 'Z';
		if (forms[i].today && !(utc ? gmtime_r(&today, &tm) : localtime_r(&today, &tm)))
			continue;
		tm.tm_sec = 0;
		const char *rest = strptime(text, forms[i].format, &tm);
		if (!rest || strcmp(rest, utc ? "Z" : "") != 0)
			continue;
		tm.tm_isdst = -1;
		*when = (double)(utc ? timegm(&tm) : mktime(&tm));
		return true;
	}
	return false;
}

int logs_since_parse(const char *text, double now, double *when, struct error *err)
{
	double seconds;
	if (units_seconds(text, &seconds, NULL) == 0) {
		*when = now - seconds;
		return 0;
	}
	if (parse_time(text, now, when))
		return 0;
	return error_set(err, ERROR_USAGE,
		"logs: found --since '%s', expected a span such as 10s or 1h30m, or a time such as 14:30 or "
		"2026-01-31T14:30:00",
		text);
}

// Lines are not cut: back to where the one that holds this byte begins.
static uint64_t line_begin(int fd, uint64_t offset)
{
	autofree char *bytes = mem_alloc(LOOK_BACK);
	size_t len = offset < LOOK_BACK ? (size_t)offset : LOOK_BACK;
	ssize_t n = pread(fd, bytes, len, (off_t)(offset - len));
	const char *newline = n > 0 ? memrchr(bytes, '\n', (size_t)n) : NULL;
	if (newline)
		return offset - len + (uint64_t)(newline + 1 - bytes);
	return len == offset ? 0 : offset;
}

// A record covers what came within a second of it, so the first one later than a second before is where it may begin.
static int read_index(
	const struct run *run, double when, size_t size, uint64_t *offsets, bool *known, struct error *err)
{
	autofree char *path = run_path(run, "ranks/index.jsonl");
	autofile FILE *file = fopen(path, "re");
	if (!file)
		return errno == ENOENT ? 0 : error_errno(err, "cannot open %s", path);
	autofree char *line = NULL;
	size_t room = 0;
	for (ssize_t n; (n = getline(&line, &room, file)) > 0;) {
		autojson json_t *record = json_loadb(line, (size_t)n, 0, NULL);
		long rank = json_whole(record, "rank");
		if (rank < 0 || (size_t)rank >= size)
			continue;
		known[rank] = true;
		if (offsets[rank] == UINT64_MAX && json_number(record, "ts") > when - 1)
			offsets[rank] = (uint64_t)json_integer_value(json_object_get(record, "offset"));
	}
	return 0;
}

uint64_t *logs_since_offsets(const struct run *run, double when, size_t size, struct error *err)
{
	autofree uint64_t *offsets = mem_alloc(size * sizeof *offsets);
	autofree bool *known = mem_alloc(size * sizeof *known);
	memset(offsets, 0xff, size * sizeof *offsets);
	if (read_index(run, when, size, offsets, known, err) < 0)
		return NULL;
	for (size_t rank = 0; rank < size; rank++) {
		autofree char *path = mem_printf("%s/ranks/output-%zu.txt", run->dir, rank);
		autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
		struct stat st;
		if (fd < 0 || fstat(fd, &st) < 0 || !known[rank])
			offsets[rank] = 0;
		else if (offsets[rank] >= (uint64_t)st.st_size) // all of it came before
			offsets[rank] = (uint64_t)st.st_size;
		else
			offsets[rank] = line_begin(fd, offsets[rank]);
	}
	return steal(offsets);
}
