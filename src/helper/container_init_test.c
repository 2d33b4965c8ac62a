// Without a container: what is inside and what stands for it outside are two processes here, too. The test is the agent
// between them.
#include "base/fs.h"
#include "base/mem.h"
#include "base/unix_socket.h"
#include "helper/container_enter.h"
#include "helper/container_init.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

struct world {
	char dir[64], *socket;
	int listener, agent; // agent: the line to what is inside
	pid_t inside;
};

// One that stands for a rank, and what that prints.
struct outside {
	pid_t pid;
	int output;
};

static int wait_accept(const struct world *w)
{
	fcntl(w->listener, F_SETFL, 0); // it blocks: nobody here is slow
	int fd = accept4(w->listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static void begin(struct world *w)
{
	snprintf(w->dir, sizeof w->dir, "/tmp/muster-inside.XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	w->socket = fs_join(w->dir, "s");
	w->listener = unix_socket_listen(w->socket, NULL);
	assert_true(w->listener >= 0);
	w->inside = fork();
	if (w->inside == 0) {
		setenv("OF_IMAGE", "there", 1);
		setenv("OVER", "not this", 1);
		_exit(container_init_main(w->socket));
	}
	w->agent = wait_accept(w);
}

// Its exit status.
static int end(struct world *w)
{
	int status;
	close(w->agent);
	assert_int_equal(waitpid(w->inside, &status, 0), w->inside);
	close(w->listener);
	free(w->socket);
	assert_int_equal(fs_remove(w->dir, NULL), 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void hand_over(const struct world *w)
{
	autoclose int line = wait_accept(w);
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(sizeof line)];
	} control = {.head = {.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof line)}};
	memcpy(CMSG_DATA(&control.head), &line, sizeof line);
	struct iovec bytes = {"l", 1};
	struct msghdr message = {
		.msg_iov = &bytes, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
	assert_int_equal(sendmsg(w->agent, &message, 0), 1);
}

// metrics: a descriptor that it gets as number 3, or -1.
static struct outside enter(const struct world *w, json_t *argv, int metrics)
{
	autojson json_t *rank = mem_json("{s:o, s:{s:s, s:s}, s:s}", "argv", argv, "env", "OVER", "this", "PATH",
		"/usr/bin:/bin", "dir", w->dir);
	autofree char *text = json_dumps(rank, JSON_COMPACT);
	autoclose int in = memfd_create("rank", MFD_CLOEXEC);
	fs_write_fd(in, text, strlen(text), NULL);
	lseek(in, 0, SEEK_SET);
	int out[2];
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	struct outside o = {.pid = fork(), .output = out[0]};
	if (o.pid == 0) {
		close(w->agent); // its end is to be the agent's
		int kept = metrics >= 0 ? fcntl(metrics, F_DUPFD, 100) : -1;
		dup2(in, 0);
		dup2(out[1], 1);
		dup2(out[1], 2);
		if (kept >= 0) {
			dup2(kept, 3);
			close(kept);
			setenv("MUSTER_METRICS_FD", "3", 1);
		}
		_exit(container_enter_main(w->socket));
	}
	close(out[1]);
	hand_over(w);
	return o;
}

// All it printed, and its wait(2) status. Owned by the caller.
static char *finish(const struct outside *o, int *status)
{
	char text[4096] = "";
	size_t len = 0;
	for (ssize_t n; len < sizeof text - 1 && (n = read(o->output, text + len, sizeof text - 1 - len)) > 0;)
		len += (size_t)n;
	text[len] = '\0';
	close(o->output);
	assert_int_equal(waitpid(o->pid, status, 0), o->pid);
	return mem_strdup(text);
}

static json_t *shell(const char *text)
{
	return mem_json("[s, s, s]", "/bin/sh", "-c", text);
}

static void expect_output(const struct outside *o, const char *text)
{
	char got[64] = "";
	size_t want = strlen(text), len = 0;
	for (ssize_t n; len < want && (n = read(o->output, got + len, want - len)) > 0;)
		len += (size_t)n;
	assert_string_equal(got, text);
}

static void test_rank(void **state)
{
	struct world w;
	int status, metrics[2];
	begin(&w);
	assert_int_equal(pipe2(metrics, O_CLOEXEC), 0);
	struct outside o =
		enter(&w, shell("echo $OF_IMAGE $OVER; pwd; cat; echo oops >&2; echo m >&$MUSTER_METRICS_FD; exit 3"),
			metrics[1]);
	close(metrics[1]);
	autofree char *text = finish(&o, &status);
	autofree char *wanted = mem_printf("there this\n%s\noops\n", w.dir);
	assert_string_equal(text, wanted);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 3);
	char m[8] = "";
	assert_int_equal(read(metrics[0], m, sizeof m - 1), 2);
	assert_string_equal(m, "m\n");
	assert_int_equal(read(metrics[0], m, 1), 0);
	close(metrics[0]);
	assert_int_equal(end(&w), 0);
}

static void test_signals(void **state)
{
	struct world w;
	int status;
	begin(&w);
	struct outside o = enter(&w,
		shell("exec 2>/dev/null; trap 'echo told; exit 7' TERM; echo up; while :; do sleep 0.02; done"), -1);
	expect_output(&o, "up\n");
	kill(o.pid, SIGTERM);
	autofree char *text = finish(&o, &status);
	assert_string_equal(text, "told\n");
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
	o = enter(&w, shell("kill -SEGV $$"), -1);
	free(text);
	text = finish(&o, &status);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
	assert_int_equal(end(&w), 0);
}

// Who stands for it is killed: it is, too, with its group, and others are not.
static void test_killed(void **state)
{
	struct world w;
	int status;
	begin(&w);
	struct outside o = enter(&w, shell("echo up; sleep 1000; true"), -1),
		       other = enter(&w, shell("echo up; read x; sleep 0.1; echo on"), -1);
	expect_output(&o, "up\n");
	kill(o.pid, SIGKILL);
	autofree char *none = finish(&o, &status); // the end of its output is that of all who could write to it
	assert_string_equal(none, "");
	autofree char *text = finish(&other, &status);
	assert_string_equal(text, "up\non\n");
	assert_int_equal(end(&w), 0);
}

static void test_cannot(void **state)
{
	struct world w;
	int status;
	begin(&w);
	struct outside o = enter(&w, mem_json("[s]", "no-such-program"), -1);
	autofree char *text = finish(&o, &status);
	assert_string_equal(text, "muster-agent: cannot run 'no-such-program': not found in PATH\n");
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 127);
	o = enter(&w, json_array(), -1);
	free(text);
	text = finish(&o, &status);
	assert_string_equal(text, "muster-agent: there is nothing to run\n");
	assert_int_equal(end(&w), 0);
}

// The agent is gone: so is what is inside. Its rank outlives it here, where there is no container that would end.
static void test_agent_gone(void **state)
{
	struct world w;
	int status;
	begin(&w);
	struct outside o = enter(&w, shell("echo up; echo $$; exec sleep 1000"), -1);
	expect_output(&o, "up\n");
	char pid[16] = "";
	assert_true(read(o.output, pid, sizeof pid - 1) > 0);
	assert_int_equal(end(&w), 0);
	assert_int_equal(kill((pid_t)atoi(pid), SIGKILL), 0);
	autofree char *none = finish(&o, &status);
	assert_string_equal(none, "");
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rank),
		cmocka_unit_test(test_signals),
		cmocka_unit_test(test_killed),
		cmocka_unit_test(test_cannot),
		cmocka_unit_test(test_agent_gone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
