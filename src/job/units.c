#include "job/units.h"

#include <ctype.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

// Digits with perhaps a fraction: what strtod takes beyond that (hex, inf, signs, blanks) is nonsense here. Moves *text
// behind it.
static bool take_number(const char **text, double *value)
{
	const char *t = *text;
	double whole = 0, scale = 1;
	if (!isdigit((unsigned char)*t))
		return false;
	for (; isdigit((unsigned char)*t); t++)
		whole = whole * 10 + (*t - '0');
	if (*t == '.') {
		if (!isdigit((unsigned char)*++t))
			return false;
		for (; isdigit((unsigned char)*t); t++) {
			whole = whole * 10 + (*t - '0');
			scale *= 10;
		}
	}
	*value = whole / scale;
	*text = t;
	return isfinite(*value) && scale < 1e18;
}

int units_seconds(const char *text, double *value, struct error *err)
{
	static const struct {
		const char *name;
		double seconds;
	} units[] = {{"d", 86400}, {"h", 3600}, {"m", 60}, {"s", 1}, {"ms", 1e-3}};
	static const size_t nunits = sizeof units / sizeof units[0];
	const char *t = text;
	double sum = 0, number;
	size_t from = 0;
	if (take_number(&t, &number) && !*t) {
		*value = number;
		return 0;
	}
	for (t = text; take_number(&t, &number); from++) {
		size_t len = strspn(t, "dhms"), i;
		for (i = from; i < nunits; i++)
			if (strlen(units[i].name) == len && strncmp(units[i].name, t, len) == 0)
				break;
		if (i == nunits)
			break;
		sum += number * units[i].seconds;
		from = i;
		t += len;
		if (!*t && isfinite(sum)) {
			*value = sum;
			return 0;
		}
	}
	return error_set(err, ERROR_USAGE, "expected a time such as 90, 30s, 1h30m or 500ms (units d h m s ms)");
}

// "e6", "E+3": an exponent and not the unit E. Moves *text behind it.
static double take_exponent(const char **text)
{
	const char *t = *text;
	if (*t != 'e' && *t != 'E')
		return 1;
	bool negative = *++t == '-';
	t += *t == '-' || *t == '+';
	if (!isdigit((unsigned char)*t))
		return 1;
	int power = 0;
	for (; isdigit((unsigned char)*t); t++)
		power = power > 99 ? power : power * 10 + (*t - '0');
	*text = t;
	return pow(10, negative ? -power : power);
}

int units_bytes(const char *text, long long *value, struct error *err)
{
	static const struct {
		const char *name;
		double bytes;
	} units[] = {{"", 1}, {"k", 1e3}, {"M", 1e6}, {"G", 1e9}, {"T", 1e12}, {"P", 1e15}, {"E", 1e18}, {"Ki", 0x1p10},
		{"Mi", 0x1p20}, {"Gi", 0x1p30}, {"Ti", 0x1p40}, {"Pi", 0x1p50}, {"Ei", 0x1p60}};
	double number;
	if (take_number(&text, &number)) {
		number *= take_exponent(&text);
		for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
			double bytes = floor(number * units[i].bytes);
			if (strcmp(units[i].name, text) != 0 || !(bytes >= 1 && bytes <= 0x1p60))
				continue;
			*value = (long long)bytes;
			return 0;
		}
	}
	return error_set(err, ERROR_USAGE,
		"expected a size in bytes from 1 to 1Ei, such as 125Mi, 1.5Gi or 500M (units k M G T P E Ki Mi Gi Ti "
		"Pi Ei)");
}

int units_cpus(const char *text, double *value, struct error *err)
{
	double number;
	if (take_number(&text, &number)) {
		bool milli = strcmp(text, "m") == 0;
		double thousandths = milli ? number : number * 1000;
		double rounded = round(thousandths);
		if ((milli || !*text) && rounded >= 1 && rounded <= 1e9 && fabs(thousandths - rounded) < 1e-6) {
			*value = rounded / 1000;
			return 0;
		}
	}
	return error_set(err, ERROR_USAGE, "expected a number of CPUs such as 2, 0.5 or 200m, at least 1m");
}
