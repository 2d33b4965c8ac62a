#include "controller/git_fetch.h"

#include "base/fs.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SAID_MAX = 16384, LOOK_EVERY = 100 }; // milliseconds

// The caller's environment and what keeps git from asking and from waiting for ever. Owned by the caller, but for its
// strings.
static char **make_env(void)
{
	static char prompt[] = "GIT_TERMINAL_PROMPT=0", limit[] = "GIT_HTTP_LOW_SPEED_LIMIT=1",
		    time[] = "GIT_HTTP_LOW_SPEED_TIME=60";
	// A repository of the caller's, when it is git that has started us, must not be taken for ours.
	static const char *const drop[] = {"GIT_TERMINAL_PROMPT=", "GIT_HTTP_LOW_SPEED_LIMIT=",
		"GIT_HTTP_LOW_SPEED_TIME=", "GIT_DIR=", "GIT_WORK_TREE=", "GIT_INDEX_FILE=", "LC_ALL="};
	static char locale[] = "LC_ALL=C";
	size_t n = 0, to = 0;
	while (environ[n])
		n++;
	char **env = mem_alloc((n + 5) * sizeof *env);
	for (size_t i = 0; i < n; i++) {
		bool dropped = false;
		for (size_t k = 0; k < countof(drop); k++)
			dropped = dropped || str_starts(environ[i], drop[k]);
		if (!dropped)
			env[to++] = environ[i];
	}
	env[to++] = prompt;
	env[to++] = limit;
	env[to++] = time;
	env[to] = locale;
	return env;
}

// Reads until the end; ends the process group when it is cancelled. What comes beyond a limit is thrown away.
static void listen_to(int fd, pid_t pid, const atomic_bool *cancelled, struct str *said)
{
	char buf[4096];
	for (;;) {
		int ready = poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, LOOK_EVERY);
		if (cancelled && *cancelled)
			kill(-pid, SIGKILL);
		if (ready == 0)
			continue;
		ssize_t n = ready < 0 ? -1 : read(fd, buf, sizeof buf);
		if (n == 0 || (n < 0 && errno != EINTR))
			return;
		if (n > 0 && said->len < SAID_MAX)
			str_add(said, buf, (size_t)n);
	}
}

// Runs git; what it said, on whichever output, is in said. Its status; -1 and err when it could not be run.
static int git(
	const char *const *words, const char *dir, const atomic_bool *cancelled, struct str *said, struct error *err)
{
	// Housekeeping would go on in the background.
	char *argv[24] = {
		(char *)"git", (char *)"-c", (char *)"gc.auto=0", (char *)"-c", (char *)"maintenance.auto=false"};
	size_t n = 5;
	while (*words && n + 1 < countof(argv))
		argv[n++] = (char *)*words++;
	autofree char **env = make_env();
	int ends[2];
	said->len = 0;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_errno(err, "cannot make a pipe");
	// A session of its own has no terminal to ask for a password on.
	struct proc_options options = {.argv = argv,
		.env = env,
		.dir = dir,
		.in = -1,
		.out = ends[1],
		.err = ends[1],
		.session = true,
		.die_with_parent = true};
	struct error why = {0};
	pid_t pid = proc_spawn(&options, NULL, &why);
	close(ends[1]);
	autoclose int from = ends[0];
	if (pid < 0)
		return error_set(err, ERROR_SYSTEM, "%s (git is needed on the machine that muster runs on)", why.text);
	listen_to(from, pid, cancelled, said);
	int status = 0;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (cancelled && *cancelled)
		return error_set(err, ERROR_CANCELLED, "cancelled");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// The last lines, in one: what came before them is chat.
static int fail(const char *from, const struct str *said, struct error *err)
{
	autofree char *all = str_utf8_clean(said->len ? said->text : "", said->len);
	size_t len = strlen(all);
	while (len && all[len - 1] == '\n')
		all[--len] = '\0';
	const char *start = all;
	for (size_t i = len, lines = 0; i-- > 0;)
		if (all[i] == '\n' && ++lines == 3) {
			start = all + i + 1;
			break;
		}
	for (char *c = all; *c; c++)
		*c = *c == '\n' ? ';' : *c;
	return error_set(err, ERROR_JOB, "git cannot fetch '%s': %s", from, *start ? start : "no reason given");
}

static bool is_commit(const char *ref)
{
	size_t len = strlen(ref);
	return (len == 40 || len == 64) && strspn(ref, "0123456789abcdef") == len;
}

static int run(const char *from, const char *url, const char *ref, const char *dir, const atomic_bool *cancelled,
	struct str *said, struct error *err)
{
	const char *const init[] = {"init", "-q", NULL};
	const char *const shallow[] = {"fetch", "-q", "--no-tags", "--depth", "1", "--", url, ref, NULL};
	const char *const whole[] = {
		"fetch", "-q", "--no-tags", "--", url, is_commit(ref) ? "+refs/*:refs/all/*" : ref, NULL};
	const char *const checkout[] = {"-c", "advice.detachedHead=false", "checkout", "-q", "--detach",
		is_commit(ref) ? ref : "FETCH_HEAD", NULL};
	int rc = git(init, dir, cancelled, said, err);
	if (rc == 0)
		rc = git(shallow, dir, cancelled, said, err);
	// Some servers give no part of a history, and some no commit that is not a branch's.
	if (rc > 0 && (is_commit(ref) || strstr(said->text, "shallow")))
		rc = git(whole, dir, cancelled, said, err);
	if (rc == 0)
		rc = git(checkout, dir, cancelled, said, err);
	return rc > 0 ? fail(from, said, err) : rc;
}

int git_fetch_run(const char *from, const char *dir, const atomic_bool *cancelled, char commit[GIT_FETCH_COMMIT],
	struct error *err)
{
	autofree char *url = mem_strdup(from + strlen("git+"));
	char *hash = strchr(url, '#');
	const char *ref = hash && hash[1] ? hash + 1 : "HEAD";
	if (hash)
		*hash = '\0';
	autostr struct str said = {0};
	str_puts(&said, "");
	const char *const name[] = {"rev-parse", "HEAD", NULL};
	if (run(from, url, ref, dir, cancelled, &said, err) < 0)
		return -1;
	int rc = git(name, dir, cancelled, &said, err);
	if (rc != 0 || said.len < 2 || said.len > GIT_FETCH_COMMIT)
		return rc < 0 ? -1 : fail(from, &said, err);
	memcpy(commit, said.text, said.len - 1);
	commit[said.len - 1] = '\0';
	autofree char *repository = fs_join(dir, ".git");
	return fs_remove(repository, err);
}
