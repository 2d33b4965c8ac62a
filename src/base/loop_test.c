#include "base/clock.h"
#include "base/loop.h"
#include "base/mem.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

struct seen {
	struct loop *loop;
	struct loop_watch *watch, *writer;
	size_t bytes, left;
	int readable, writable, closed, timer;
	bool pause;
};

static void drain(struct seen *s)
{
	char buf[4096];
	ssize_t n;
	while ((n = read(loop_watch_fd(s->watch), buf, sizeof buf)) > 0)
		s->bytes += (size_t)n;
}

static void on_pipe(enum loop_event event, void *data)
{
	struct seen *s = data;
	s->readable += event == LOOP_READABLE;
	s->closed += event == LOOP_CLOSED;
	drain(s);
	if (s->pause && event == LOOP_READABLE)
		loop_watch_pause(s->watch, true);
	if (event == LOOP_CLOSED)
		loop_stop(s->loop);
}

static void write_all(int fd, size_t total)
{
	char buf[1000] = "x";
	for (size_t at = 0; at < total; at += sizeof buf)
		assert_int_equal(write(fd, buf, sizeof buf), sizeof buf);
}

// Every byte of a pipe arrives, also those that were in it when its writer went away.
static void pipe_to_the_end(bool pause)
{
	struct error err;
	struct seen s = {.loop = loop_new(64, &err), .pause = pause};
	assert_non_null(s.loop);
	int fds[2];
	assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
	s.watch = loop_watch(s.loop, fds[0], on_pipe, &s);
	assert_non_null(s.watch);
	pid_t pid = fork();
	if (pid == 0) {
		fcntl(fds[1], F_SETFL, 0);
		write_all(fds[1], 60000);
		_exit(0);
	}
	close(fds[1]);
	loop_run(s.loop);
	assert_int_equal(s.bytes, 60000);
	assert_int_equal(s.closed, 1);
	waitpid(pid, NULL, 0);
	loop_free(s.loop);
}

static void test_pipe(void **state)
{
	pipe_to_the_end(false);
}

static void test_paused_pipe(void **state)
{
	pipe_to_the_end(true);
}

static void on_child(enum loop_event event, void *data)
{
	struct seen *s = data;
	s->readable++;
	loop_unwatch(s->watch);
	loop_stop(s->loop);
}

static void test_pidfd(void **state)
{
	struct error err;
	struct seen s = {.loop = loop_new(64, &err)};
	pid_t pid = fork();
	if (pid == 0)
		_exit(7);
	s.watch = loop_watch(s.loop, (int)syscall(SYS_pidfd_open, pid, 0), on_child, &s);
	loop_run(s.loop);
	int status;
	assert_int_equal(waitpid(pid, &status, WNOHANG), pid);
	assert_int_equal(WEXITSTATUS(status), 7);
	loop_free(s.loop);
}

// Fills the pipe and asks again, from the call-back too.
static void fill(struct seen *s)
{
	static const char buf[5000];
	while (s->left) {
		ssize_t n = write(loop_watch_fd(s->writer), buf, s->left < sizeof buf ? s->left : sizeof buf);
		if (n < 0) {
			loop_watch_writable(s->writer);
			return;
		}
		s->left -= (size_t)n;
	}
	loop_unwatch(s->writer);
}

static void on_writer(enum loop_event event, void *data)
{
	struct seen *s = data;
	s->writable += event == LOOP_WRITABLE;
	if (event == LOOP_WRITABLE)
		fill(s);
}

static void test_writable_asked_for_again(void **state)
{
	struct error err;
	struct seen s = {.loop = loop_new(64, &err), .left = 1000000};
	int fds[2];
	assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
	s.watch = loop_watch(s.loop, fds[0], on_pipe, &s);
	s.writer = loop_watch(s.loop, fds[1], on_writer, &s);
	fill(&s);
	loop_run(s.loop);
	assert_int_equal(s.bytes, 1000000);
	assert_true(s.writable > 1);
	loop_free(s.loop);
}

static void on_time(void *data)
{
	struct seen *s = data;
	s->timer++;
	loop_stop(s->loop);
}

static void test_timer(void **state)
{
	struct error err;
	struct seen s = {.loop = loop_new(64, &err)};
	struct loop_timer *late = loop_timer_new(s.loop, on_time, &s), *early = loop_timer_new(s.loop, on_time, &s);
	double start = clock_mono();
	loop_timer_set(late, 30);
	loop_timer_set(early, 0.02);
	loop_run(s.loop);
	assert_int_equal(s.timer, 1);
	assert_true(clock_mono() - start >= 0.02);
	loop_timer_free(early);
	loop_timer_free(late);
	loop_free(s.loop);
}

static void test_free_is_silent(void **state)
{
	struct error err;
	struct seen s = {.loop = loop_new(64, &err)};
	int fds[2];
	assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
	s.watch = loop_watch(s.loop, fds[0], on_pipe, &s);
	loop_free(s.loop);
	assert_int_equal(s.closed, 0);
	assert_int_equal(read(fds[0], &s, 1), -1); // it is closed all the same
	close(fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_pipe), cmocka_unit_test(test_paused_pipe),
		cmocka_unit_test(test_pidfd), cmocka_unit_test(test_writable_asked_for_again),
		cmocka_unit_test(test_timer), cmocka_unit_test(test_free_is_silent)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
