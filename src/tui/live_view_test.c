#include "base/clock.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"
#include "run/run.h"
#include "tui/viewer.h"
#include "wire/event.h"

#include <poll.h>
#include <pty.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include <utmp.h>

#include <cmocka.h>

enum { ROWS = 24, COLUMNS = 80, DEADLINE_MS = 20000 };

// A terminal that understands what the screen uses and fails on anything else.
struct terminal {
	int fd;
	char cells[ROWS][COLUMNS + 1];
	size_t row, column;
	bool hidden;
	char sequence[32]; // the escape sequence that is coming in
	size_t len;
	struct str scrolled; // lines that left at the top
};

static void clear(struct terminal *t, size_t row, size_t column)
{
	memset(t->cells[row] + column, ' ', COLUMNS - column);
	t->cells[row][COLUMNS] = '\0';
}

static void line_feed(struct terminal *t)
{
	if (t->row + 1 < ROWS) {
		t->row++;
		return;
	}
	str_printf(&t->scrolled, "%s\n", t->cells[0]);
	memmove(t->cells[0], t->cells[1], sizeof t->cells - sizeof t->cells[0]);
	clear(t, ROWS - 1, 0);
}

static void obey(struct terminal *t)
{
	char final = t->sequence[t->len - 1];
	size_t number = strtoul(t->sequence + 2, NULL, 10);
	if (final == 'A') {
		t->row -= number < t->row ? number : t->row;
	} else if (final == 'K' && t->len == 3) {
		clear(t, t->row, t->column);
	} else if (final == 'J' && t->len == 3) {
		clear(t, t->row, t->column);
		for (size_t row = t->row + 1; row < ROWS; row++)
			clear(t, row, 0);
	} else if (strncmp(t->sequence + 2, "?25", 3) == 0) {
		t->hidden = final == 'l';
	} else if (final != 'm') {
		fail_msg("an escape sequence ending with '%c' reached the terminal", final);
	}
	t->len = 0;
}

static void take(struct terminal *t, char c)
{
	if (t->len || c == '\033') {
		assert_true(t->len < sizeof t->sequence - 1);
		t->sequence[t->len++] = c;
		t->sequence[t->len] = '\0';
		if (t->len > 2 && c >= '@' && c < 0x7f)
			obey(t);
	} else if (c == '\r') {
		t->column = 0;
	} else if (c == '\n') {
		line_feed(t);
	} else {
		assert_in_range((unsigned char)c, ' ', '~');
		if (t->column == COLUMNS) {
			t->column = 0;
			line_feed(t);
		}
		t->cells[t->row][t->column++] = c;
	}
}

// This process writes the run and is the terminal; one child stands for its controller, another one shows it.
struct scene {
	char top[32];
	struct run *run;
	pid_t controller, viewer;
	int told;
	struct terminal terminal;
	struct termios modes; // before
};

static int setup(void **state)
{
	struct scene *s = mem_alloc(sizeof *s);
	strcpy(s->top, "/tmp/live-test-XXXXXX");
	assert_non_null(mkdtemp(s->top));
	autojson json_t *plan = mem_json("{s:i}", "plan", 1);
	s->run = run_create(s->top, "job", "", 0, plan, NULL);
	assert_non_null(s->run);
	for (size_t row = 0; row < ROWS; row++)
		clear(&s->terminal, row, 0);
	*state = s;
	return 0;
}

static void end_child(pid_t *pid)
{
	if (*pid > 0) {
		kill(*pid, SIGKILL);
		waitpid(*pid, NULL, 0);
	}
	*pid = 0;
}

static int teardown(void **state)
{
	struct scene *s = *state;
	end_child(&s->viewer);
	end_child(&s->controller);
	close(s->told);
	close(s->terminal.fd);
	str_fini(&s->terminal.scrolled);
	run_free(s->run);
	int rc = fs_remove(s->top, NULL);
	free(s);
	return rc;
}

static void start_controller(struct scene *s)
{
	int ends[2];
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	assert_int_equal(pipe(ends), 0);
	s->controller = fork();
	assert_true(s->controller >= 0);
	if (s->controller == 0) {
		setsid();
		sigprocmask(SIG_BLOCK, &set, NULL);
		int number = 0;
		while (write(ends[1], "", 1) == 1)
			sigwait(&set, &number);
		_exit(0);
	}
	close(ends[1]);
	s->told = ends[0];
	char ready;
	assert_int_equal(read(s->told, &ready, 1), 1);
}

static void event(struct scene *s, json_t *tree)
{
	autojson json_t *owned = tree;
	assert_int_equal(run_event(s->run, owned, NULL), 0);
}

static void start(struct scene *s, bool owner)
{
	start_controller(s);
	event(s, event_make("run", "s:s, s:s, s:s, s:i, s:i", "id", s->run->id, "name", "job", "executor", "local",
			 "nodes", 2, "size", 2));
	for (int i = 0; i < 2; i++) {
		event(s, event_make("hello", "s:i, s:s, s:s", "node", i, "name", "n", "address",
				 i ? "127.0.0.3" : "127.0.0.2"));
		event(s, event_make("start", "s:i, s:i, s:i", "node", i, "rank", i, "pid", 1));
	}
	struct winsize size = {.ws_row = ROWS, .ws_col = COLUMNS};
	int slave;
	assert_int_equal(openpty(&s->terminal.fd, &slave, NULL, NULL, &size), 0);
	assert_int_equal(tcgetattr(slave, &s->modes), 0);
	s->viewer = fork();
	assert_true(s->viewer >= 0);
	if (s->viewer == 0) {
		close(s->terminal.fd);
		login_tty(slave);
		setenv("TERM", "xterm", 1);
		setenv("LC_ALL", "C", 1);
		struct viewer_options options = {
			.owner = owner, .controller = s->controller, .started = proc_started(s->controller)};
		struct error why = {0};
		int rc = viewer_follow(s->run, &options, &why);
		if (rc < 0)
			dprintf(STDERR_FILENO, "muster: %s\n", why.text);
		tcdrain(STDOUT_FILENO);
		_exit(rc < 0 ? why.code : rc);
	}
	close(slave);
}

static void output(struct scene *s, size_t rank, const char *text)
{
	assert_int_equal(run_output(s->run, rank, text, strlen(text), NULL), 0);
}

static const char *screen(struct scene *s)
{
	static char text[ROWS * (COLUMNS + 1) + 1];
	text[0] = '\0';
	for (size_t row = 0; row < ROWS; row++) {
		strcat(text, s->terminal.cells[row]);
		strcat(text, "\n");
	}
	return text;
}

// Plays what comes until it is so on the screen (NULL: until the viewer has closed the terminal).
static void play_until(struct scene *s, const char *text)
{
	double until = clock_mono() + DEADLINE_MS / 1e3;
	while (!text || !strstr(screen(s), text)) {
		struct pollfd fd = {.fd = s->terminal.fd, .events = POLLIN};
		if (poll(&fd, 1, 1000) < 0 || clock_mono() > until)
			fail_msg("'%s' never came:\n%s", text, screen(s));
		char buffer[4096];
		ssize_t n = fd.revents ? read(s->terminal.fd, buffer, sizeof buffer) : 0;
		if (n < 0)
			break; // EIO: nobody has the other end open
		for (ssize_t i = 0; i < n; i++)
			take(&s->terminal, buffer[i]);
	}
	if (text && !strstr(screen(s), text))
		fail_msg("'%s' was never shown:\n%s", text, screen(s));
}

static int end_viewer(struct scene *s)
{
	struct termios modes;
	int status;
	play_until(s, NULL);
	assert_int_equal(waitpid(s->viewer, &status, 0), s->viewer);
	s->viewer = 0;
	assert_false(s->terminal.hidden);
	assert_int_equal(tcgetattr(s->terminal.fd, &modes), 0);
	assert_int_equal(modes.c_lflag, s->modes.c_lflag);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int end(struct scene *s, const char *outcome, int code)
{
	event(s, event_make("end", "s:s, s:n, s:i, s:f", "outcome", outcome, "why", "exit", code, "seconds", 1.5));
	end_child(&s->controller);
	return end_viewer(s);
}

static size_t count(const char *in, const char *what)
{
	size_t n = 0;
	for (; (in = strstr(in, what)); in++)
		n++;
	return n;
}

static void test_panel(void **state)
{
	struct scene *s = *state;
	start(s, true);
	play_until(s, "node 1  127.0.0.3  running");
	assert_true(s->terminal.hidden);
	output(s, 0, "\033[2J\033[1;1Hevil \033[31mtext\n");
	output(s, 1, "unfinished");
	play_until(s, "0| evil text");
	play_until(s, "node 0  127.0.0.2  running   evil text");
	play_until(s, "node 1  127.0.0.3  running   unfinished");
	assert_null(strstr(screen(s), "1| unfinished"));
	event(s, event_make("metric", "s:i, s:i, s:s, s:f", "node", 0, "rank", 0, "name", "loss", "value", 0.25));
	event(s, event_make("warn", "s:s", "why", "hot"));
	play_until(s, " loss 0.25 ");
	play_until(s, "warning: hot");
	assert_int_equal(count(screen(s), "-- job-"), 1);
	assert_int_equal(end(s, "ok", 0), 0);
	assert_non_null(strstr(screen(s), "1| unfinished"));
	assert_non_null(strstr(screen(s), "ok after 1.5 s --"));
	assert_non_null(strstr(screen(s), " loss 0.25 "));
	assert_non_null(strstr(screen(s), " see "));
	assert_null(strstr(screen(s), "node 0"));
	assert_int_equal(count(screen(s), "-- job-"), 1);
}

static void test_flood(void **state)
{
	struct scene *s = *state;
	start(s, true);
	for (int i = 0; i < 3000; i++)
		output(s, 0, "one of very many\n");
	output(s, 0, "the last one\n");
	play_until(s, "running   the last one");
	play_until(s, "lines not shown (muster logs");
	end(s, "ok", 0);
	size_t shown = count(screen(s), "0| one of") + count(s->terminal.scrolled.text, "0| one of");
	assert_in_range(shown, 100, 1000);
}

static void test_interrupt(void **state)
{
	struct scene *s = *state;
	start(s, true);
	play_until(s, "node 1");
	assert_int_equal(write(s->terminal.fd, "xyz\003", 4), 4);
	char byte;
	assert_int_equal(read(s->told, &byte, 1), 1);
	play_until(s, "stopping gently; Ctrl-C again stops at once");
	assert_null(strstr(screen(s), "xyz"));
	assert_int_equal(end(s, "cancelled", 130), 130);
}

static void test_leave(void **state)
{
	struct scene *s = *state;
	start(s, false);
	play_until(s, "node 1");
	assert_int_equal(write(s->terminal.fd, "\003", 1), 1);
	assert_int_equal(end_viewer(s), 0);
	assert_non_null(strstr(screen(s), "the run continues; `muster attach job-"));
	assert_null(strstr(screen(s), "node 1"));
	assert_int_equal(kill(s->controller, 0), 0);
}

static void test_resize(void **state)
{
	struct scene *s = *state;
	start(s, true);
	play_until(s, "node 1  127.0.0.3");
	struct winsize size = {.ws_row = ROWS, .ws_col = 60};
	assert_int_equal(ioctl(s->terminal.fd, TIOCSWINSZ, &size), 0);
	play_until(s, "node 1  running");
	end(s, "ok", 0);
	assert_int_equal(count(screen(s), "-- job-"), 1);
}

// Even a viewer that crashes leaves the terminal as it was; the run does not notice.
static void test_crash(void **state)
{
	struct scene *s = *state;
	start(s, true);
	play_until(s, "node 1");
	kill(s->viewer, SIGUSR1);
	assert_int_equal(end_viewer(s), 128 + SIGUSR1);
}

static void test_stop(void **state)
{
	struct scene *s = *state;
	start(s, true);
	play_until(s, "node 1");
	kill(s->viewer, SIGTSTP);
	int status;
	assert_int_equal(waitpid(s->viewer, &status, WUNTRACED), s->viewer);
	assert_true(WIFSTOPPED(status));
	struct termios modes;
	assert_int_equal(tcgetattr(s->terminal.fd, &modes), 0);
	assert_int_equal(modes.c_lflag, s->modes.c_lflag);
	kill(s->viewer, SIGCONT);
	output(s, 1, "again\n");
	play_until(s, "running   again");
	assert_true(s->terminal.hidden);
	assert_int_equal(end(s, "failed", 1), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_panel, setup, teardown),
		cmocka_unit_test_setup_teardown(test_flood, setup, teardown),
		cmocka_unit_test_setup_teardown(test_interrupt, setup, teardown),
		cmocka_unit_test_setup_teardown(test_leave, setup, teardown),
		cmocka_unit_test_setup_teardown(test_resize, setup, teardown),
		cmocka_unit_test_setup_teardown(test_crash, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stop, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
