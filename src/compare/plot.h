// Plots as HTML and SVG without a script: intervals on a scale, and points in a plane.
// They are drawn from numbers that stand in the page's JSON beside them; they know nothing of runs.
#ifndef COMPARE_PLOT_H
#define COMPARE_PLOT_H

#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>

// How a value came about, told apart by the form of its mark, not by colour: a disc, a ring, a diamond.
enum plot_mark { PLOT_MEASURED, PLOT_PREDICTED, PLOT_MODELLED };

struct plot_point {
	const char *label;
	int number; // stands for the label where there is no room for it
	enum plot_mark mark;
	double x, x_low, x_high;  // the ends may be NAN: no whisker
	double y, y_low, y_high;  // not used by plot_ranges
	double box_low, box_high; // plot_ranges: a box, such as the middle half; NAN: none
	int group;                // plot_plane: points of one group are joined by a line; -1: alone
};

// One line a point: its label, its value as text() gives it (owned by the caller), and a track on which it lies. unit
// is put behind values ("s"). Points with NAN are left out; nothing is drawn when none is left.
void plot_ranges(struct str *out, const char *title, const char *note, const char *unit, char *(*text)(double),
	const struct plot_point *points, size_t count);

// A plane with both axes from 0; points bear their numbers. ideal: a dashed line through the origin and (1, 1).
void plot_plane(struct str *out, const char *title, const char *note, const char *x_name, const char *y_name,
	bool ideal, const struct plot_point *points, size_t count);

// The style that both need, once a page.
extern const char plot_style[];

#endif
