#include "base/fs.h"
#include "base/mem.h"
#include "cmd/sweep_runner.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

// A sweep of two runs in a directory of its own; a run is this program again, which waits until it is ended.
struct world {
	char dir[32];
	json_t *none;
	struct sweep_record *record;
	struct sweep_runner_options options;
};

static void start(struct world *w)
{
	struct error err = {0};
	*w = (struct world){.dir = "/tmp/sweep_runner.XXXXXX", .none = json_array()};
	assert_non_null(mkdtemp(w->dir));
	autojson json_t *points = mem_json("[{s:s, s:[]}]", "name", "only", "sets");
	w->record = sweep_record_begin(w->dir, "test", "0123456789abcdef", "job.yaml", "", w->none, points, 2, 1, &err);
	if (!w->record)
		fail_msg("%s", err.text);
	w->options = (struct sweep_runner_options){
		.job = "job.yaml", .runs = w->dir, .before = w->none, .after = w->none, .at_once = 2};
}

static void end(struct world *w)
{
	sweep_record_free(w->record);
	json_decref(w->none);
	assert_int_equal(fs_remove(w->dir, NULL), 0);
}

static size_t count_files(void)
{
	DIR *dir = opendir("/proc/self/fd");
	size_t count = 0;
	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

// Runs the sweep while there is room for so many more descriptors only.
static void run_with(struct world *w, rlim_t more)
{
	struct rlimit before, now;
	struct error err = {0};
	size_t files = count_files();
	int lowest = open("/dev/null", O_RDONLY | O_CLOEXEC);
	close(lowest);
	getrlimit(RLIMIT_NOFILE, &before);
	now = before;
	now.rlim_cur = (rlim_t)lowest + more;
	setrlimit(RLIMIT_NOFILE, &now);
	int rc = sweep_runner_run(&w->options, w->record, &err);
	setrlimit(RLIMIT_NOFILE, &before);
	assert_int_equal(rc, -1);
	assert_string_equal(err.text, "cannot make a pipe: Too many open files");
	assert_int_equal(count_files(), files);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

static void no_pipe_is_left_open(void **state)
{
	struct world w;
	start(&w);
	run_with(&w, 3); // one of two pipes
	end(&w);
}

static void runs_are_ended_when_the_next_cannot_begin(void **state)
{
	struct world w;
	start(&w);
	run_with(&w, 5); // what stays open of the first run, and one of two pipes of the second
	assert_int_equal(sweep_record_next(w.record, 0), 0); // it was interrupted, so it is none
	end(&w);
}

int main(int argc, char **argv)
{
	if (argc > 1) // as a run
		return pause();
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_pipe_is_left_open),
		cmocka_unit_test(runs_are_ended_when_the_next_cannot_begin),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
