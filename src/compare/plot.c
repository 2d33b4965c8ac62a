#include "compare/plot.h"

#include "base/mem.h"
#include "report/html.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// The plane, in its own units; the page scales it.
enum { WIDTH = 440, HEIGHT = 320, RIGHT = 20, TOP = 14, BOTTOM = 46, TICKS = 5, DIGIT = 8, PLACES = 8 };

const char plot_style[] =
	".ranges{display:grid;gap:10px}.ranges .head{display:flex;flex-wrap:wrap;justify-content:space-between;gap:0 "
	"12px;font-size:14px}.ranges .head b{font-weight:600;overflow-wrap:break-word;max-width:100%}"
	".ranges .head span{white-space:nowrap;margin-left:auto;font-variant-numeric:tabular-nums}"
	".track{position:relative;height:18px;background:var(--grid);border-radius:4px}.track "
	"i{position:absolute;top:8px;height:2px;background:var(--ink)}"
	".track i.box{top:3px;height:12px;background:var(--p0);border:1px solid var(--ink);border-radius:2px}"
	".track u{position:absolute;top:3px;width:12px;height:12px;margin-left:-6px;background:var(--c0);border:2px "
	"solid var(--c0);border-radius:50%}"
	".track u.predicted{background:var(--card)}.track "
	"u.modelled{border-radius:0;background:var(--card);transform:rotate(45deg) scale(.8)}"
	".scale{display:flex;justify-content:space-between;color:var(--soft);font-size:12px;font-variant-numeric:"
	"tabular-nums}"
	".planes{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,440px),1fr));gap:0 18px}"
	".plane{width:100%;max-width:640px;height:auto;display:block}.plane text{fill:var(--ink);font-size:13px}.plane "
	".soft{fill:var(--soft)}"
	".plane .name{font-weight:600;paint-order:stroke;stroke:var(--card);stroke-width:4px;stroke-linejoin:round}"
	".plane .grid{stroke:var(--grid)}.plane .axis{stroke:var(--soft)}.plane "
	".ideal{stroke:var(--soft);stroke-dasharray:5 4}.plane .join{stroke:var(--c0);fill:none;stroke-width:1.5}"
	".plane .whisker{stroke:var(--soft);stroke-opacity:.6}.plane "
	".measured{fill:var(--c0);stroke:var(--c0);stroke-width:2}.plane .predicted,.plane "
	".modelled{fill:var(--card);stroke:var(--c0);stroke-width:2}"
	".note{color:var(--soft);font-size:14px;margin:8px 0 0}\n";

static const char *const mark_names[] = {"measured", "predicted", "modelled"};

// The least of some round numbers times a power of ten that is not below value.
static double round_up(double value)
{
	static const double steps[] = {1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10};
	if (!(value > 0))
		return 1;
	double power = pow(10, floor(log10(value)));
	for (size_t i = 0; i < countof(steps); i++)
		if (steps[i] * power >= value * (1 - 1e-9))
			return steps[i] * power;
	return 10 * power;
}

// The end of an axis from 0 with TICKS equal parts.
static double axis_end(double most)
{
	return round_up(most / TICKS) * TICKS;
}

// A number on an axis whose parts are so large.
static char *tick_text(double value, double step)
{
	if (value == 0)
		return mem_strdup("0");
	int digits = step < 1 ? (int)ceil(-log10(step) - 1e-9) : 0;
	double scale = pow(10, digits);
	digits += fabs(step * scale - round(step * scale)) > 1e-6; // 0.25
	return step >= 1e6 ? mem_printf("%.4g", value) : mem_printf("%.*f", digits, value);
}

static double most(const struct plot_point *p, bool y)
{
	double value = y ? p->y : p->x, high = y ? p->y_high : p->x_high;
	return fmax(value, isnan(high) ? value : high);
}

static void open_section(struct str *out, const char *title)
{
	str_puts(out, "<section><h2>");
	html_escape(out, title);
	str_puts(out, "</h2>");
}

static void close_section(struct str *out, const char *note)
{
	if (note) {
		str_puts(out, "<p class=\"note\">");
		html_escape(out, note);
		str_puts(out, "</p>");
	}
	str_puts(out, "</section>\n");
}

// --- ranges ---------------------------------------------------------------------

static void put_bar(struct str *out, const char *class, double low, double high, double end)
{
	if (isnan(low) || isnan(high))
		return;
	low = fmax(low, 0);
	str_printf(out, "<i%s style=\"left:%.2f%%;width:%.2f%%\"></i>", class, 100 * low / end,
		100 * fmax(high - low, 0) / end);
}

static void put_range(struct str *out, const char *unit, char *(*text)(double), const struct plot_point *p, double end)
{
	autofree char *value = text(p->x), *low = isnan(p->x_low) ? NULL : text(p->x_low),
		      *high = isnan(p->x_high) ? NULL : text(p->x_high);
	str_printf(out, "<div><div class=\"head\"><b><small>%d</small> ", p->number);
	html_escape(out, p->label);
	str_printf(out, "</b><span>%s%s", value, *unit ? " " : "");
	html_escape(out, unit);
	if (low && high && p->x_high > p->x_low)
		str_printf(out, " <small>(%s to %s)</small>", low, high);
	str_puts(out, "</span></div><div class=\"track\">");
	put_bar(out, "", p->x_low, p->x_high, end);
	put_bar(out, " class=\"box\"", p->box_low, p->box_high, end);
	str_printf(out, "<u class=\"%s\" style=\"left:%.2f%%\" title=\"%s\"></u></div></div>", mark_names[p->mark],
		100 * p->x / end, mark_names[p->mark]);
}

void plot_ranges(struct str *out, const char *title, const char *note, const char *unit, char *(*text)(double),
	const struct plot_point *points, size_t count)
{
	double far = 0;
	size_t shown = 0;
	for (size_t i = 0; i < count; i++)
		if (!isnan(points[i].x)) {
			far = fmax(far, most(&points[i], false));
			shown++;
		}
	if (!shown)
		return;
	double end = axis_end(far);
	open_section(out, title);
	str_puts(out, "<div class=\"ranges\">");
	for (size_t i = 0; i < count; i++)
		if (!isnan(points[i].x))
			put_range(out, unit, text, &points[i], end);
	str_puts(out, "</div><div class=\"scale\">");
	for (int i = 0; i <= TICKS; i++) {
		autofree char *tick = tick_text(end * i / TICKS, end / TICKS);
		str_printf(out, "<span>%s</span>", tick);
	}
	str_puts(out, "</div>");
	close_section(out, note);
}

// --- the plane ------------------------------------------------------------------

struct plane {
	double x_end, y_end, left;
	const struct plot_point *points;
	size_t count;
	double *names_x, *names_y; // where the numbers of the points before stand
};

static bool is_shown(const struct plot_point *p)
{
	return !isnan(p->x + p->y);
}

static double px(const struct plane *p, double x)
{
	return p->left + (WIDTH - p->left - RIGHT) * x / p->x_end;
}

static double py(const struct plane *p, double y)
{
	return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * y / p->y_end;
}

static void put_line(struct str *out, const char *class, double x0, double y0, double x1, double y1)
{
	str_printf(out, "<line class=\"%s\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>", class, x0, y0, x1, y1);
}

static void put_axes(struct str *out, const struct plane *p, const char *x_name, const char *y_name)
{
	for (int i = 0; i <= TICKS; i++) {
		double x = p->x_end * i / TICKS, y = p->y_end * i / TICKS;
		put_line(out, i ? "grid" : "axis", px(p, x), TOP, px(p, x), HEIGHT - BOTTOM);
		put_line(out, i ? "grid" : "axis", p->left, py(p, y), WIDTH - RIGHT, py(p, y));
		autofree char *x_text = tick_text(x, p->x_end / TICKS), *y_text = tick_text(y, p->y_end / TICKS);
		str_printf(out, "<text class=\"soft\" x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s</text>", px(p, x),
			HEIGHT - BOTTOM + 16, x_text);
		str_printf(out, "<text class=\"soft\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%s</text>", p->left - 6,
			py(p, y) + 4, y_text);
	}
	str_printf(out, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">", (p->left + WIDTH - RIGHT) / 2, HEIGHT - 8);
	html_escape(out, x_name);
	str_printf(out, "</text><text x=\"14\" y=\"%d\" text-anchor=\"middle\" transform=\"rotate(-90 14 %d)\">",
		(TOP + HEIGHT - BOTTOM) / 2, (TOP + HEIGHT - BOTTOM) / 2);
	html_escape(out, y_name);
	str_puts(out, "</text>");
}

static void put_whiskers(struct str *out, const struct plane *p, const struct plot_point *point)
{
	double x = px(p, point->x), y = py(p, point->y);
	if (!isnan(point->x_low))
		put_line(out, "whisker", px(p, fmax(point->x_low, 0)), y, px(p, point->x_high), y);
	if (!isnan(point->y_low))
		put_line(out, "whisker", x, py(p, fmax(point->y_low, 0)), x, py(p, point->y_high));
}

static void put_mark(struct str *out, const struct plane *p, const struct plot_point *point)
{
	double x = px(p, point->x), y = py(p, point->y);
	if (point->mark == PLOT_MODELLED)
		str_printf(out, "<path class=\"modelled\" d=\"M%.1f %.1fl6 6l-6 6l-6 -6z\"><title>", x, y - 6);
	else
		str_printf(out, "<circle class=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"5\"><title>", mark_names[point->mark],
			x, y);
	html_escape(out, point->label);
	str_printf(out, ", %s: %.4g, %.4g</title></%s>", mark_names[point->mark], point->x, point->y,
		point->mark == PLOT_MODELLED ? "path" : "circle");
}

// How much a number at that place covers: marks, and numbers that are there.
static double covered(const struct plane *p, size_t i, double x, double y)
{
	double sum = x < p->left + DIGIT || x > WIDTH - DIGIT || y < TOP || y > HEIGHT - BOTTOM ? 1 : 0;
	for (size_t k = 0; k < p->count; k++) {
		if (!is_shown(&p->points[k]))
			continue;
		sum += hypot(px(p, p->points[k].x) - x, py(p, p->points[k].y) - y) < 13;
		sum += k < i && hypot(p->names_x[k] - x, p->names_y[k] - y) < 15;
	}
	return sum;
}

// The number of a point stands beside it, where it covers least; in a crowd it is left out.
static void put_name(struct str *out, struct plane *p, size_t i)
{
	static const double away[PLACES][2] = {
		{0, -16}, {0, 16}, {16, 0}, {-16, 0}, {13, -13}, {-13, -13}, {13, 13}, {-13, 13}};
	double x = px(p, p->points[i].x), y = py(p, p->points[i].y), least = INFINITY;
	for (size_t k = 0; k < PLACES; k++) {
		double there = covered(p, i, x + away[k][0], y + away[k][1]);
		if (there >= least)
			continue;
		least = there;
		p->names_x[i] = x + away[k][0];
		p->names_y[i] = y + away[k][1];
	}
	if (least > 1) { // it could not be read; the mark's title says it
		p->names_x[i] = p->names_y[i] = -WIDTH;
		return;
	}
	str_printf(out, "<text class=\"name\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%d</text>", p->names_x[i],
		p->names_y[i] + 5, p->points[i].number);
}

static void put_points(struct str *out, struct plane *p)
{
	autofree double *x = mem_alloc((p->count + 1) * sizeof *x), *y = mem_alloc((p->count + 1) * sizeof *y);
	p->names_x = x;
	p->names_y = y;
	for (size_t i = 0; i < p->count; i++)
		if (is_shown(&p->points[i]))
			put_whiskers(out, p, &p->points[i]);
	for (size_t i = 0; i < p->count; i++)
		if (is_shown(&p->points[i]))
			put_mark(out, p, &p->points[i]);
	for (size_t i = 0; i < p->count; i++)
		if (is_shown(&p->points[i]))
			put_name(out, p, i);
}

// Points of a group come in the order in which they are joined.
static void put_joins(struct str *out, const struct plane *p, const struct plot_point *points, size_t count)
{
	for (size_t i = 0; i < count; i++)
		for (size_t k = i + 1; k < count; k++)
			if (points[i].group >= 0 && points[i].group == points[k].group &&
				!isnan(points[i].x + points[i].y + points[k].x + points[k].y)) {
				put_line(out, "join", px(p, points[i].x), py(p, points[i].y), px(p, points[k].x),
					py(p, points[k].y));
				break;
			}
}

void plot_plane(struct str *out, const char *title, const char *note, const char *x_name, const char *y_name,
	bool ideal, const struct plot_point *points, size_t count)
{
	double x_most = 0, y_most = 0;
	size_t shown = 0;
	for (size_t i = 0; i < count; i++)
		if (is_shown(&points[i])) {
			x_most = fmax(x_most, most(&points[i], false));
			y_most = fmax(y_most, most(&points[i], true));
			shown++;
		}
	if (shown < 2)
		return;
	struct plane p = {.x_end = axis_end(x_most),
		.y_end = axis_end(ideal ? fmax(x_most, y_most) : y_most),
		.points = points,
		.count = count};
	autofree char *widest = tick_text(p.y_end / TICKS, p.y_end / TICKS),
		      *last = tick_text(p.y_end, p.y_end / TICKS);
	p.left = 36 + DIGIT * (double)(strlen(widest) > strlen(last) ? strlen(widest) : strlen(last));
	open_section(out, title);
	str_printf(out, "<svg class=\"plane\" viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"", WIDTH, HEIGHT);
	html_escape(out, title);
	str_puts(out, "\">");
	put_axes(out, &p, x_name, y_name);
	if (ideal)
		put_line(out, "ideal", px(&p, 0), py(&p, 0), px(&p, fmin(p.x_end, p.y_end)),
			py(&p, fmin(p.x_end, p.y_end)));
	put_joins(out, &p, points, count);
	put_points(out, &p);
	str_puts(out, "</svg>");
	close_section(out, note);
}
