#include "base/proc.h"

#include "base/clock.h"
#include "base/crypto.h"
#include "base/fs.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

// Fields of /proc/PID/stat after the name (which may hold anything, so it is skipped from the right): state is field 3.
static int read_stat(pid_t pid, char *state, pid_t *parent, unsigned long long *started)
{
	char path[64], text[1024];
	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
	if (n <= 0)
		return -1;
	text[n] = '\0';
	char *rest = strrchr(text, ')');
	int ppid = 0;
	if (!rest || sscanf(rest + 1, " %c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
			     state, &ppid, started) != 3)
		return -1;
	*parent = ppid;
	return 0;
}

unsigned long long proc_started(pid_t pid)
{
	char state;
	pid_t parent;
	unsigned long long started;
	if (read_stat(pid, &state, &parent, &started) < 0 || state == 'Z' || state == 'X')
		return 0;
	return started;
}

bool proc_alive(pid_t pid, unsigned long long started)
{
	return pid > 0 && started != 0 && proc_started(pid) == started;
}

bool proc_reap(pid_t pid, double seconds)
{
	double end = clock_mono() + seconds;
	pid_t gone;
	for (int wait = 1; (gone = waitpid(pid, NULL, WNOHANG)) == 0 && clock_mono() < end;
		wait = wait < 50 ? wait * 2 : 50)
		poll(NULL, 0, wait);
	return gone != 0;
}

// What the child needs, prepared by the parent: the child shares its memory and must not allocate.
struct forked_task {
	const struct proc_options *options;
	char *program;
	char *dir_error;
	int cgroups[16];
	size_t ncgroups;
	int nkeep, *lifted;
	pid_t parent;
	int error; // errno of what failed, 0 when exec worked
	const char *what;
};

// Moves descriptor fd out of the way of 0, 1 and 2.
static int lift(int fd)
{
	return fd >= 0 && fd <= 2 ? fcntl(fd, F_DUPFD, 3) : fd;
}

static void place(int fd, int target)
{
	if (fd < 0)
		fd = open("/dev/null", O_RDWR);
	dup2(fd, target);
}

// First all out of the way, then each to its place: a number may be wanted before its owner has moved.
static void place_kept(struct forked_task *c)
{
	for (int i = 0; i < c->nkeep; i++)
		c->lifted[i] = fcntl(c->options->keep[i], F_DUPFD, 3 + c->nkeep);
	for (int i = 0; i < c->nkeep; i++)
		dup2(c->lifted[i], 3 + i);
	syscall(SYS_close_range, 3U + (unsigned)c->nkeep, ~0U, 0);
}

static void reset_signals(void)
{
	for (int sig = 1; sig < 65; sig++)
		signal(sig, SIG_DFL);
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static struct rlimit files_before; // rlim_max 0: as it was

void proc_raise_files(void)
{
	struct rlimit now;
	if (getrlimit(RLIMIT_NOFILE, &now) < 0 || now.rlim_cur == now.rlim_max)
		return;
	struct rlimit most = {now.rlim_max, now.rlim_max};
	if (setrlimit(RLIMIT_NOFILE, &most) == 0)
		files_before = now;
}

static void fail_child(struct forked_task *c, const char *what) __attribute__((noreturn));
static void fail_child(struct forked_task *c, const char *what)
{
	c->error = errno;
	c->what = what;
	_exit(127);
}

static int child_main(void *data)
{
	struct forked_task *c = data;
	const struct proc_options *o = c->options;
	if (o->die_with_parent) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != c->parent)
			_exit(127);
	}
	if (o->session)
		setsid();
	else if (o->group)
		setpgid(0, 0);
	for (size_t i = 0; i < c->ncgroups; i++)
		if (write(c->cgroups[i], "0", 1) < 0)
			fail_child(c, "enter the cgroup of");
	int in = lift(o->in), out = lift(o->out), err = lift(o->err);
	place(in, 0);
	place(out, 1);
	place(err, 2);
	if (o->tty)
		ioctl(0, TIOCSCTTY, 0);
	place_kept(c);
	if (o->dir && chdir(o->dir) < 0)
		fail_child(c, "enter the directory of");
	reset_signals();
	if (files_before.rlim_max)
		setrlimit(RLIMIT_NOFILE, &files_before); // programs that use select(2) break beyond it
	execve(c->program, o->argv, o->env ? o->env : environ);
	fail_child(c, "run");
}

static int open_cgroups(struct forked_task *c, const char *list, struct error *err)
{
	while (list && *list) {
		size_t len = strcspn(list, ":");
		autofree char *file = mem_strndup(list, len);
		int fd = c->ncgroups < countof(c->cgroups) ? open(file, O_WRONLY | O_CLOEXEC) : -1;
		if (fd < 0)
			return error_errno(err, "cannot open '%s'", file);
		c->cgroups[c->ncgroups++] = fd;
		list += len + (list[len] == ':');
	}
	return 0;
}

static const char *path_of(char *const *env)
{
	for (; env && *env; env++)
		if (strncmp(*env, "PATH=", 5) == 0)
			return *env + 5;
	return "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
}

// CLONE_VM|CLONE_VFORK: no page tables are copied, and a failing exec is reported through shared memory. The child has
// its own stack, and all signals stay blocked until it has its own dispositions.
static pid_t start_child(struct forked_task *c)
{
	size_t size = 64 * 1024;
	// From the heap: a mapping of its own would, at the address of an earlier one, still carry what the address
	// sanitizer noted of the frames there, which exec ended without their returning.
	autofree char *stack = mem_alloc(size);
	sigset_t all, before;
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &before);
	pid_t pid = clone(child_main, stack + size, CLONE_VM | CLONE_VFORK | SIGCHLD, c);
	int saved = errno;
	sigprocmask(SIG_SETMASK, &before, NULL);
	errno = saved;
	return pid;
}

pid_t proc_spawn(const struct proc_options *options, int *pidfd, struct error *err)
{
	autofree char *program = fs_which(options->argv[0], path_of(options->env ? options->env : environ));
	if (!program && strchr(options->argv[0], '/'))
		program = mem_strdup(options->argv[0]); // exec finds the precise reason
	if (!program)
		return error_set(err, ERROR_SYSTEM, "cannot run '%s': not found in PATH", options->argv[0]);
	struct forked_task c = {.options = options, .program = program, .parent = getpid()};
	while (options->keep && options->keep[c.nkeep] >= 0)
		c.nkeep++;
	autofree int *lifted = c.lifted = mem_alloc((size_t)c.nkeep * sizeof *lifted);
	pid_t pid = -1;
	if (open_cgroups(&c, options->cgroups, err) == 0) {
		pid = start_child(&c);
		if (pid < 0)
			error_errno(err, "cannot start '%s'", options->argv[0]);
	}
	for (size_t i = 0; i < c.ncgroups; i++)
		close(c.cgroups[i]);
	if (pid > 0 && c.error) {
		waitpid(pid, NULL, 0);
		errno = c.error;
		return error_errno(err, "cannot %s '%s'", c.what, options->argv[0]);
	}
	if (pid > 0 && pidfd) {
		*pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
		if (*pidfd < 0) {
			error_errno(err, "cannot watch '%s'", options->argv[0]);
			kill(pid, SIGKILL);
			waitpid(pid, NULL, 0);
			return -1;
		}
	}
	return pid;
}

// Does the environment of this process hold word? *empty: it has none, or none yet.
static bool has_word(pid_t pid, const char *word, bool *empty)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/environ", (int)pid);
	size_t len = 0, want = strlen(word) + 1;
	autofree char *env = fs_read(path, 4 << 20, &len, NULL);
	*empty = len == 0;
	for (char *at = env; env && at < env + len; at += strlen(at) + 1)
		if ((size_t)(env + len - at) + 1 >= want && strcmp(at, word) == 0)
			return true;
	return false;
}

// Between getting a new address space and filling it, exec shows an empty environment: neither the old nor the new one.
// Such a process has a program (a kernel thread or a zombie has none) and no end of an environment (field 51 of its
// stat).
static bool in_exec(pid_t pid)
{
	char path[64], text[1024], program[8];
	snprintf(path, sizeof path, "/proc/%d/exe", (int)pid);
	if (readlink(path, program, sizeof program) < 0)
		return false;
	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
	if (n <= 0)
		return false;
	text[n] = '\0';
	char *at = strrchr(text, ')');
	for (int field = 2; at && field < 51; field++)
		at = strchr(at + 1, ' ');
	return at && strtoull(at, NULL, 10) == 0;
}

// A process that is just becoming another program is looked at again, for a few milliseconds at most.
bool proc_carries(pid_t pid, const char *word)
{
	bool empty;
	bool found = has_word(pid, word, &empty);
	for (int i = 0; i < 50 && empty && in_exec(pid); i++) {
		usleep(200);
		found = has_word(pid, word, &empty);
	}
	return found;
}

static void add_pid(pid_t **pids, size_t *n, pid_t pid)
{
	*pids = mem_resize(*pids, (*n + 1) * sizeof **pids);
	(*pids)[(*n)++] = pid;
}

static bool next_pid(DIR *dir, pid_t *pid)
{
	for (struct dirent *e; (e = readdir(dir));) {
		char *end;
		long value = strtol(e->d_name, &end, 10);
		if (*end == '\0' && value > 0) {
			*pid = (pid_t)value;
			return true;
		}
	}
	return false;
}

size_t proc_find(const char *word, pid_t **pids)
{
	*pids = NULL;
	size_t n = 0;
	DIR *dir = opendir("/proc");
	for (pid_t pid; dir && next_pid(dir, &pid);)
		if (pid != getpid() && proc_carries(pid, word))
			add_pid(pids, &n, pid);
	if (dir)
		closedir(dir);
	return n;
}

struct link {
	pid_t pid, parent;
};

static void add_tree(pid_t pid, const struct link *links, size_t count, pid_t **pids, size_t *n)
{
	for (size_t i = 0; i < *n; i++)
		if ((*pids)[i] == pid)
			return;
	for (size_t i = 0; i < count; i++)
		if (links[i].parent == pid)
			add_tree(links[i].pid, links, count, pids, n);
	add_pid(pids, n, pid);
}

size_t proc_trees(const pid_t *roots, size_t count, pid_t **pids)
{
	*pids = NULL;
	size_t n = 0, nlinks = 0, size = 0;
	autofree struct link *links = NULL;
	DIR *dir = opendir("/proc");
	for (pid_t p; dir && next_pid(dir, &p);) {
		char state;
		unsigned long long started;
		if (nlinks == size) {
			size = size ? 2 * size : 256;
			links = mem_resize(links, size * sizeof *links);
		}
		links[nlinks].pid = p;
		if (read_stat(p, &state, &links[nlinks].parent, &started) == 0)
			nlinks++;
	}
	if (dir)
		closedir(dir);
	for (size_t i = 0; i < count; i++)
		add_tree(roots[i], links, nlinks, pids, &n);
	return n;
}

size_t proc_tree(pid_t pid, pid_t **pids)
{
	return proc_trees(&pid, 1, pids);
}

char *proc_program(void)
{
	char path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
	return n > 0 ? mem_strndup(path, (size_t)n) : mem_strdup("/proc/self/exe");
}

char *proc_machine(void)
{
	autofree char *boot = fs_read("/proc/sys/kernel/random/boot_id", 4096, NULL, NULL);
	char ipc[64] = "";
	struct stat shm;
	if (!boot || readlink("/proc/self/ns/ipc", ipc, sizeof ipc - 1) < 0 || stat("/dev/shm", &shm) < 0)
		return crypto_random_hex(16);
	boot[strcspn(boot, "\n")] = '\0';
	return mem_printf("%s %s %llx", boot, ipc, (unsigned long long)shm.st_dev);
}
