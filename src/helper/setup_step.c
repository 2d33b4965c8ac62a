#include "helper/setup_step.h"

#include "base/error.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/proc.h"
#include "helper/image_step.h"
#include "helper/packages.h"
#include "helper/step_command.h"
#include "job/plan.h"
#include "node/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORD "muster-step "

enum { FILE_BYTES = 64 << 20, HEAD_MAX = 64 * 1024 };

// What somebody else has mounted there; NULL when nobody has.
static char *why_left_alone(const json_t *step)
{
	const char *to = plan_step_read(step).mount.to;
	autofree char *what = mounts_find(to);
	if (!what || mounts_shared(json_text(step, "node_dir"), to))
		return NULL;
	return mem_printf("'%s' already has %s mounted", to, what);
}

bool setup_step_needs_root(const struct plan_step *step)
{
	return step->become || step->packages || step->is_mount;
}

char *setup_step_is_done(const json_t *step)
{
	struct plan_step s = plan_step_read(step);
	autofree char *path = s.creates ? fs_join(json_text(step, "dir"), s.creates) : NULL;
	if (path && fs_exists(path))
		return mem_printf("'%s' is there", s.creates);
	if (s.is_mount)
		return why_left_alone(step);
	if (s.is_image)
		return image_step_is_done(step);
	return s.packages && packages_are_there(s.packages) ? mem_strdup("all are installed") : NULL;
}

// --- the step ------------------------------------------------------------------

static int fail(const struct error *err)
{
	dprintf(2, "%s\n", err->text);
	return STEP_COMMAND_CANNOT;
}

static int run_command(const json_t *step)
{
	const json_t *words = plan_step_read(step).argv;
	size_t count = json_array_size(words);
	autofree const char **argv = mem_alloc((count + 1) * sizeof *argv);
	for (size_t i = 0; i < count; i++)
		argv[i] = json_string_value(json_array_get(words, i));
	return step_command_run(argv, json_text(step, "dir"), 1);
}

static int mount_it(const struct plan_mount *mount)
{
	const char *words[8] = {"mount", "-t", mount->type};
	size_t count = 3;
	if (mount->options) {
		words[count++] = "-o";
		words[count++] = mount->options;
	}
	words[count++] = mount->from;
	words[count++] = mount->to;
	return step_command_run(words, NULL, 1);
}

static int make_mount(const json_t *step)
{
	struct plan_mount mount = plan_step_read(step).mount;
	const char *dir = json_text(step, "node_dir"), *to = mount.to;
	autofree char *why = why_left_alone(step), *what = mounts_find(to); // with the lock it is certain
	struct error err;
	int status = 0;
	if (why) {
		dprintf(1, "%s\n", why);
		return 0;
	}
	umask(022); // the node's user must get there, whatever is his
	if (mounts_note(dir, to, &err) < 0)
		return fail(&err);
	if (what)
		dprintf(1, "'%s' already has %s mounted, by another node of this run\n", to, what);
	else
		status = mount_it(&mount);
	return status == 0 && mounts_done(dir, to, &err) < 0 ? fail(&err) : status;
}

static int do_mount(const json_t *step)
{
	int lock;
	while ((lock = mounts_lock(json_text(step, "node_dir"))) < 0)
		if (!step_command_pause(0.05))
			return STEP_COMMAND_OVER;
	int status = make_mount(step);
	mounts_unlock(lock);
	return status;
}

static void set_env(const json_t *step)
{
	const char *name;
	json_t *value;
	json_object_foreach ((json_t *)plan_step_read(step).env, name, value)
		setenv(name, json_string_value(value), 1);
}

static int do_step(const json_t *step)
{
	struct plan_step s = plan_step_read(step);
	dprintf(1, WORD "begun\n");
	if (s.is_mount)
		return do_mount(step);
	return s.packages ? packages_install(s.packages) : run_command(step);
}

// --- what it leaves running -----------------------------------------------------

static bool has_children(void)
{
	pid_t gone;
	while ((gone = waitpid(-1, NULL, WNOHANG)) > 0)
		;
	return gone == 0;
}

static void kill_children(void)
{
	while (has_children()) {
		autofree pid_t *pids = NULL;
		size_t count = proc_tree(getpid(), &pids);
		for (size_t i = 0; i < count; i++)
			if (pids[i] != getpid())
				kill(pids[i], SIGKILL);
	}
}

static void let_go_of_output(void)
{
	autoclose int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	dup2(null, 1);
	dup2(null, 2);
}

// Until the line is over or nobody is left.
static void hold(void)
{
	struct pollfd line = {.fd = 0, .events = POLLIN};
	while (has_children() && !line.revents)
		poll(&line, 1, 1000);
	kill_children();
}

// Above all that the step starts: orphans come here. It says how the step ended, and stays for what the step left.
static int keeper_main(const json_t *step, int said)
{
	setsid();
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	unsigned char status = (unsigned char)do_step(step);
	bool stays = has_children();
	unsigned char words[] = {status, stays};
	let_go_of_output();
	fs_write_fd(said, words, sizeof words, NULL);
	close(said);
	hold();
	return 0;
}

// --- the process -----------------------------------------------------------------

// Not kept alive by what the step left: it ends with the step, the keeper does not.
static int follow(pid_t keeper, int said)
{
	unsigned char words[2];
	size_t got = 0;
	for (ssize_t n; got < sizeof words &&
			((n = read(said, words + got, sizeof words - got)) > 0 || (n < 0 && errno == EINTR));)
		got += n > 0 ? (size_t)n : 0;
	if (got == sizeof words && words[1])
		return words[0];
	waitpid(keeper, NULL, 0);
	return got == sizeof words ? words[0] : STEP_COMMAND_OVER;
}

static int start_keeper(const json_t *step, struct error *err)
{
	int said[2];
	if (pipe2(said, O_CLOEXEC) < 0)
		return error_errno(err, "cannot make a pipe");
	pid_t keeper = fork();
	if (keeper == 0) {
		close(said[0]);
		_exit(keeper_main(step, said[1]));
	}
	close(said[1]);
	int status = keeper < 0 ? error_errno(err, "cannot start a process") : follow(keeper, said[0]);
	close(said[0]);
	return status;
}

// This program again, as root.
static int ask_sudo(const char *file, struct error *err)
{
	autofree char *path = proc_program();
	execlp("sudo", "sudo", "-n", "--", path, "step", file, (char *)NULL);
	return error_errno(err, "cannot run 'sudo'");
}

static int begin(const json_t *step, const char *file, struct error *err)
{
	set_env(step); // it also says where the programs are that know what is there
	autofree char *done = setup_step_is_done(step);
	if (!done && plan_step_read(step).is_image) { // leaves nothing running, and nothing of it needs root
		dprintf(1, WORD "begun\n");
		return image_step_take(step);
	}
	if (!done)
		return geteuid() == 0 ? start_keeper(step, err) : ask_sudo(file, err);
	dprintf(1, WORD "skipped %s\n", done);
	return 0;
}

int setup_step_unmount(const char *dir)
{
	struct error err;
	return mounts_undo(dir, &err) < 0 ? fail(&err) : 0;
}

int setup_step_unblock(const char *dir)
{
	mounts_abort(dir);
	return 0;
}

int setup_step_main(const char *file)
{
	struct error err;
	autofree char *text = fs_read(file, FILE_BYTES, NULL, &err);
	autojson json_t *step = text ? json_loads(text, 0, NULL) : NULL;
	if (text && !step)
		error_set(&err, ERROR_SYSTEM, "'%s' does not contain a setup step", file);
	signal(SIGPIPE, SIG_IGN);
	int status = step ? begin(step, file, &err) : -1;
	return status < 0 ? fail(&err) : status;
}

// --- its first words --------------------------------------------------------------

// The line with the word, and where it ends; NULL until it is there whole.
static char *find_word(const struct str *text, size_t *end)
{
	for (char *at = text->text; at && (at = strstr(at, WORD)); at++) {
		char *stop = memchr(at, '\n', text->len - (size_t)(at - text->text));
		if (stop && (at == text->text || at[-1] == '\n')) {
			*end = (size_t)(stop - text->text) + 1;
			return at + strlen(WORD);
		}
	}
	return NULL;
}

size_t setup_step_head_take(struct setup_step_head *head, const void *bytes, size_t len)
{
	size_t before = head->text.len, end;
	if (head->begun || before > HEAD_MAX)
		return 0;
	str_add(&head->text, bytes, len);
	char *word = find_word(&head->text, &end);
	if (!word)
		return len;
	head->begun = true;
	if (str_starts(word, "skipped "))
		head->skipped = mem_strndup(word + strlen("skipped "), strcspn(word, "\n") - strlen("skipped "));
	return end - before;
}

void setup_step_head_fini(struct setup_step_head *head)
{
	str_fini(&head->text);
	free(head->skipped);
	*head = (struct setup_step_head){0};
}
