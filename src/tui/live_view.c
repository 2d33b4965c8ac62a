#include "tui/live_view.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "tui/run_progress.h"
#include "tui/screen.h"
#include "tui/status_panel.h"
#include "tui/terminal_text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	LINES_MOST = 200,    // a second: more scroll by too fast to be read
	LINE_COLUMNS = 2000, // of a line that scrolls by
};

static const double DRAW_EVERY = 0.1;
static const double TICK = 1.0;   // the clocks in the panel
static const double FIRST = 0.15; // a run that is over by then needs no panel

struct live_view {
	struct screen *screen;
	struct run_progress *progress;
	const char *id;
	bool colour, utf8;
	double opened, drawn; // clock_mono
	bool dirty;
	double window; // the second that is counted
	size_t window_lines, not_shown;
	bool open; // the last bytes of a rank did not end its line
	size_t open_rank;
	bool last_shown;    // that line is shown
	struct str partial; // its beginning
};

bool live_view_possible(void)
{
	const char *term = getenv("TERM");
	if (!isatty(STDOUT_FILENO) || !term || !*term || strcmp(term, "dumb") == 0)
		return false;
	return tcgetpgrp(STDOUT_FILENO) == getpgrp();
}

static bool speaks_utf8(void)
{
	static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
	for (size_t i = 0; i < countof(names); i++) {
		const char *value = getenv(names[i]);
		if (value && *value)
			return strcasestr(value, "utf-8") || strcasestr(value, "utf8");
	}
	return false;
}

struct live_view *live_view_open(struct nonblocking_writer *out, const char *id)
{
	struct live_view *l = mem_alloc(sizeof *l);
	const char *no_colour = getenv("NO_COLOR");
	l->screen = screen_open(out);
	l->progress = run_progress_new();
	l->id = id;
	l->colour = !(no_colour && *no_colour);
	l->utf8 = speaks_utf8();
	l->opened = clock_mono();
	return l;
}

// --- lines that scroll by ---------------------------------------------------

static void tell_not_shown(struct live_view *l)
{
	if (!l->not_shown)
		return;
	autofree char *text = mem_printf("%s%s %zu lines not shown (muster logs %s)%s", l->colour ? "\033[2m" : "",
		l->utf8 ? "\u2026" : "...", l->not_shown, l->id, l->colour ? "\033[0m" : "");
	screen_line(l->screen, text);
	l->not_shown = 0;
}

// May one more line scroll by in this second?
static bool admit(struct live_view *l)
{
	double now = clock_mono();
	if (now >= l->window + 1) {
		l->window = now;
		l->window_lines = 0;
		tell_not_shown(l);
	}
	return l->window_lines++ < LINES_MOST;
}

static void show_line(struct live_view *l, size_t rank, const char *bytes, size_t len)
{
	autostr struct str out = {0};
	if (l->progress->size > 1)
		str_printf(&out, "%s%zu|%s ", l->colour ? "\033[36m" : "", rank, l->colour ? "\033[0m" : "");
	terminal_text_add(&out, bytes, len, LINE_COLUMNS);
	screen_line(l->screen, out.text ? out.text : "");
}

// A line that came in pieces is shown by its beginning.
static void end_line(struct live_view *l)
{
	if (l->last_shown)
		show_line(l, l->open_rank, l->partial.text ? l->partial.text : "", l->partial.len);
	else
		l->not_shown++;
	str_fini(&l->partial);
	l->open = false;
}

void live_view_output(struct live_view *l, size_t rank, const char *bytes, size_t len)
{
	run_progress_output(l->progress, rank, bytes, len);
	l->dirty = true;
	while (len) {
		const char *newline = memchr(bytes, '\n', len);
		size_t n = newline ? (size_t)(newline + 1 - bytes) : len;
		if (l->open && l->open_rank != rank)
			end_line(l);
		if (!l->open)
			l->last_shown = admit(l);
		if (newline && !l->open && l->last_shown) {
			show_line(l, rank, bytes, n);
		} else {
			if (l->last_shown && l->partial.len < LINE_COLUMNS)
				str_add(&l->partial, bytes, n < 4 * LINE_COLUMNS ? n : 4 * LINE_COLUMNS);
			l->open = true;
			l->open_rank = rank;
			if (newline)
				end_line(l);
		}
		bytes += n;
		len -= n;
	}
}

void live_view_partial(struct live_view *l, size_t rank, const char *bytes, size_t len)
{
	run_progress_output(l->progress, rank, bytes, len);
	l->dirty = true;
}

void live_view_say(struct live_view *l, enum event_text_kind kind, const char *line)
{
	autostr struct str out = {0};
	if (l->colour)
		str_puts(&out, kind == EVENT_TEXT_TROUBLE ? "\033[33m" : "\033[2m");
	terminal_text_add(&out, line, strlen(line), LINE_COLUMNS);
	if (l->colour)
		str_puts(&out, "\033[0m");
	screen_line(l->screen, out.text);
	l->dirty = true;
}

void live_view_event(struct live_view *l, const json_t *event)
{
	run_progress_event(l->progress, event);
	l->dirty = true;
}

// --- the panel --------------------------------------------------------------

int live_view_due(const struct live_view *l)
{
	double due = l->drawn + (l->dirty ? DRAW_EVERY : TICK);
	if (l->drawn == 0)
		due = l->opened + FIRST;
	double ms = ceil((due - clock_mono()) * 1000);
	return ms > 0 ? (int)ms : 0;
}

// A panel never fills the window: half of it belongs to the lines, and its last column stays empty, where a cursor
// would wait to wrap.
static char *panel_text(const struct live_view *l)
{
	struct status_panel panel = {.now = clock_wall(), .colour = l->colour, .utf8 = l->utf8};
	struct str out = {0};
	screen_size(l->screen, &panel.width, &panel.height);
	panel.height = panel.height > 10  ? panel.height / 2
		       : panel.height > 6 ? 5
		       : panel.height > 1 ? panel.height - 1
					  : 1;
	if (panel.width > 1)
		panel.width--;
	status_panel_draw(&panel, l->progress, &out);
	return str_steal(&out);
}

void live_view_draw(struct live_view *l)
{
	if (live_view_due(l) > 0)
		return;
	l->drawn = clock_mono();
	l->dirty = false;
	if (l->not_shown && l->drawn >= l->window + 1)
		tell_not_shown(l);
	autofree char *text = screen_is_front(l->screen) ? panel_text(l) : mem_strdup("");
	screen_draw(l->screen, text);
}

void live_view_leave(struct live_view *l)
{
	screen_leave(l->screen);
}

void live_view_enter(struct live_view *l)
{
	screen_enter(l->screen);
	l->drawn = 0;
}

void live_view_resize(struct live_view *l)
{
	l->drawn = 0;
}

void live_view_close(struct live_view *l)
{
	if (!l)
		return;
	if (l->open)
		end_line(l);
	tell_not_shown(l);
	if (l->progress->outcome) {
		autofree char *text = panel_text(l);
		for (char *at = text, *newline; (newline = strchr(at, '\n')); at = newline + 1) {
			*newline = '\0';
			screen_line(l->screen, at);
		}
	}
	screen_close(l->screen);
	run_progress_free(l->progress);
	str_fini(&l->partial);
	free(l);
}
