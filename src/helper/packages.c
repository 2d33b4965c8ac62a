#include "helper/packages.h"

#include "base/fs.h"
#include "base/mem.h"
#include "helper/step_command.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#define PATIENCE "600" // seconds for another package manager to finish
enum { MAX_WORDS = 16, OUTPUT_MAX = 1 << 20 };

// The names of the packages come after the words of query and install.
struct manager {
	const char *program;
	const char *query[MAX_WORDS]; // succeeds when all are installed
	const char *says;             // and says this of each of them
	const char *broken;           // a directory that is not empty after it was killed in the middle of its work
	const char *repair[MAX_WORDS];
	const char *refresh[MAX_WORDS];
	const char *install[MAX_WORDS];
	const char *lock; // of the lists, which the program does not wait for by itself
};

static const struct manager managers[] = {
	{.program = "apt-get",
		.query = {"dpkg-query", "-W", "-f=${db:Status-Status}\\n"},
		.says = "installed",
		.broken = "/var/lib/dpkg/updates",
		.repair = {"dpkg", "--configure", "-a", "--force-confdef", "--force-confold"},
		.refresh = {"apt-get", "update", "-q"},
		// A package's question about its changed configuration is answered with what is there.
		.install = {"apt-get", "install", "-y", "-q", "-o", "DPkg::Lock::Timeout=" PATIENCE, "-o",
			"Dpkg::Use-Pty=0", "-o", "Dpkg::Options::=--force-confdef", "-o",
			"Dpkg::Options::=--force-confold"},
		.lock = "/var/lib/apt/lists/lock"},
	{.program = "dnf", .query = {"rpm", "-q", "--quiet", "--whatprovides"}, .install = {"dnf", "install", "-y"}},
	{.program = "apk", .query = {"apk", "info", "-e", "-q"}, .install = {"apk", "add", "-U", "--wait", PATIENCE}},
};

// The program's path is owned by the caller; NULL when there is none.
static const struct manager *find_manager(char **program)
{
	for (size_t i = 0; i < countof(managers); i++) {
		*program = fs_which(managers[i].program, getenv("PATH"));
		if (*program)
			return &managers[i];
	}
	return NULL;
}

static int run(const char *const *words, const json_t *names, int out)
{
	size_t count = 0;
	while (words[count])
		count++;
	autofree const char **argv = mem_alloc((count + json_array_size(names) + 1) * sizeof *argv);
	memcpy(argv, words, count * sizeof *argv);
	for (size_t i = 0; i < json_array_size(names); i++)
		argv[count + i] = json_string_value(json_array_get(names, i));
	return step_command_run(argv, NULL, out);
}

static bool each_line_is(int fd, const char *wanted)
{
	autofree char *text = mem_alloc(OUTPUT_MAX + 1);
	ssize_t len = pread(fd, text, OUTPUT_MAX, 0);
	bool same = len > 0;
	for (char *line = text, *end; same && (end = strchr(line, '\n')); line = end + 1)
		same = (size_t)(end - line) == strlen(wanted) && strncmp(line, wanted, strlen(wanted)) == 0;
	return same;
}

static bool are_there(const struct manager *m, const json_t *names)
{
	autoclose int out = memfd_create("query", MFD_CLOEXEC), errors = fcntl(2, F_DUPFD_CLOEXEC, 3);
	dup2(out, 2); // that one is missing is no error
	int status = run(m->query, names, out);
	dup2(errors, 2);
	return status == 0 && (!m->says || each_line_is(out, m->says));
}

bool packages_are_there(const json_t *names)
{
	autofree char *program = NULL;
	const struct manager *m = find_manager(&program);
	return m && are_there(m, names);
}

// --- waiting for others ----------------------------------------------------------

// The nodes of one machine do it one after the other: the lock is on the program, so that nothing is made for it.
static int wait_for_turn(const char *program)
{
	int fd = open(program, O_RDONLY | O_CLOEXEC);
	while (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0)
		if (!step_command_pause(0.2))
			break;
	return fd;
}

static void wait_for_lists(const struct manager *m)
{
	autoclose int fd = m->lock ? open(m->lock, O_RDWR | O_CLOEXEC) : -1;
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	pid_t said = 0;
	double left = atof(PATIENCE);
	for (; fd >= 0 && fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK && left > 0; left -= 0.5) {
		if (lock.l_pid != said)
			dprintf(1, "waiting for process %d, which holds '%s'\n", (int)lock.l_pid, m->lock);
		said = lock.l_pid;
		lock = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET};
		if (!step_command_pause(0.5))
			return;
	}
}

static bool is_broken(const struct manager *m)
{
	DIR *d = m->broken ? opendir(m->broken) : NULL;
	bool found = false;
	for (struct dirent *e; d && !found && (e = readdir(d));)
		found = *e->d_name != '.';
	if (d)
		closedir(d);
	return found;
}

int packages_install(const json_t *names)
{
	autofree char *program = NULL;
	const struct manager *m = find_manager(&program);
	if (!m) {
		dprintf(2, "found no package manager, expected apt-get, dnf or apk in PATH\n");
		return STEP_COMMAND_CANNOT;
	}
	autoclose int turn = wait_for_turn(program);
	if (are_there(m, names)) {
		dprintf(1, "all are installed by now\n");
		return 0;
	}
	setenv("DEBIAN_FRONTEND", "noninteractive", 0);
	if (is_broken(m) && run(m->repair, NULL, 1) == STEP_COMMAND_OVER)
		return STEP_COMMAND_OVER;
	wait_for_lists(m);
	// Lists that cannot be fetched anew may be good enough; if not, installing says so.
	if (m->refresh[0] && run(m->refresh, NULL, 1) == STEP_COMMAND_OVER)
		return STEP_COMMAND_OVER;
	return run(m->install, names, 1);
}
