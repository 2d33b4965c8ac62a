#include "tui/screen.h"

#include "base/mem.h"
#include "base/str.h"
#include "tui/terminal_text.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#define HIDE_CURSOR "\033[?25l"
#define SHOW_CURSOR "\033[?25h"
#define ERASE_REST_OF_LINE "\033[K"
#define ERASE_BELOW "\033[J"

struct screen {
	struct nonblocking_writer *writer;
	struct str above; // lines that wait to scroll by
	struct str panel; // as it was drawn last; the cursor is at the end of its last line
};

// What a dying process needs to know; a signal handler cannot be told.
static struct {
	volatile sig_atomic_t taken, echo_off;
	int fd;
	struct termios saved;
} terminal;

// Those that end a process and that nobody here waits for.
static const int deadly[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGALRM, SIGUSR1, SIGUSR2, SIGXCPU, SIGXFSZ};
static struct sigaction old_actions[countof(deadly)];

static void restore_terminal(void)
{
	if (terminal.echo_off)
		tcsetattr(terminal.fd, TCSANOW, &terminal.saved);
	terminal.echo_off = 0;
	if (terminal.taken && write(terminal.fd, SHOW_CURSOR, strlen(SHOW_CURSOR)) < 0)
		terminal.taken = 0; // the terminal is gone and needs no cursor
	terminal.taken = 0;
}

static void on_deadly(int number)
{
	restore_terminal();
	signal(number, SIG_DFL);
	raise(number);
}

bool screen_is_front(const struct screen *s)
{
	return tcgetpgrp(s->writer->fd) == getpgrp();
}

void screen_enter(struct screen *s)
{
	terminal.fd = s->writer->fd;
	terminal.taken = 1;
	// A process in the background would be stopped for this.
	if (!terminal.echo_off && screen_is_front(s) && tcgetattr(terminal.fd, &terminal.saved) == 0) {
		struct termios quiet = terminal.saved;
		quiet.c_lflag &= ~(tcflag_t)ECHO;
		terminal.echo_off = tcsetattr(terminal.fd, TCSANOW, &quiet) == 0;
	}
	nonblocking_writer_write(s->writer, HIDE_CURSOR, strlen(HIDE_CURSOR));
	s->panel.len = 0; // whatever stands there now is somebody else's
}

void screen_leave(struct screen *s)
{
	screen_draw(s, "");
	restore_terminal();
}

struct screen *screen_open(struct nonblocking_writer *writer)
{
	struct screen *s = mem_alloc(sizeof *s);
	s->writer = writer;
	struct sigaction action = {.sa_handler = on_deadly};
	for (size_t i = 0; i < countof(deadly); i++)
		sigaction(deadly[i], &action, &old_actions[i]);
	screen_enter(s);
	return s;
}

void screen_close(struct screen *s)
{
	if (!s)
		return;
	screen_leave(s);
	for (size_t i = 0; i < countof(deadly); i++)
		sigaction(deadly[i], &old_actions[i], NULL);
	str_fini(&s->above);
	str_fini(&s->panel);
	free(s);
}

void screen_size(const struct screen *s, size_t *width, size_t *height)
{
	struct winsize size;
	*width = 80;
	*height = 24;
	if (ioctl(s->writer->fd, TIOCGWINSZ, &size) < 0)
		return;
	*width = size.ws_col ? size.ws_col : *width;
	*height = size.ws_row ? size.ws_row : *height;
}

void screen_line(struct screen *s, const char *text)
{
	str_puts(&s->above, text);
	str_puts(&s->above, "\n");
}

// Rows that the last panel takes: in a window made narrower since, terminals wrap what they show.
static size_t rows(const struct screen *s)
{
	size_t width, height, count = 0;
	screen_size(s, &width, &height);
	for (const char *at = s->panel.text; at && at < s->panel.text + s->panel.len;) {
		const char *newline = strchr(at, '\n');
		size_t columns = terminal_text_width(at, (size_t)(newline - at));
		count += columns > width ? (columns + width - 1) / width : 1;
		at = newline + 1;
	}
	return count < height ? count : height;
}

// Each line overwrites the one that stood there, so nothing flickers. The last newline is left out: the panel may touch
// the bottom.
static void add_panel(struct str *out, const char *lines)
{
	while (*lines) {
		const char *newline = strchr(lines, '\n');
		str_add(out, lines, (size_t)(newline - lines));
		str_puts(out, newline[1] ? ERASE_REST_OF_LINE "\r\n" : ERASE_REST_OF_LINE);
		lines = newline + 1;
	}
}

// These may take more rows than one and cannot erase what stood beside their ends.
static void add_above(struct str *out, const char *lines)
{
	str_puts(out, ERASE_BELOW);
	for (const char *at = lines; *at; at++)
		str_add(out, *at == '\n' ? "\r\n" : at, *at == '\n' ? 2 : 1);
}

void screen_draw(struct screen *s, const char *lines)
{
	autostr struct str out = {0};
	size_t up = rows(s);
	str_puts(&out, "\r");
	if (up > 1)
		str_printf(&out, "\033[%zuA", up - 1);
	if (s->above.len)
		add_above(&out, s->above.text);
	add_panel(&out, lines);
	str_puts(&out, ERASE_BELOW);
	str_fini(&s->above);
	s->panel.len = 0;
	str_puts(&s->panel, lines);
	nonblocking_writer_write(s->writer, out.text, out.len);
}
