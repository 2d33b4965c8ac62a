#include "job/units.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

static void test_seconds(void **state)
{
	static const struct {
		const char *text;
		double seconds;
	} good[] = {{"0", 0}, {"90", 90}, {"0.5", 0.5}, {"30s", 30}, {"2m", 120}, {"2h", 7200}, {"1h30m", 5400},
		{"1.5h", 5400}, {"500ms", 0.5}, {"1d", 86400}, {"1m1ms", 60.001}, {"1d2h3m4s5ms", 93784.005}};
	static const char *const bad[] = {"", " ", "s", "2 h", " 2h", "2h ", "2H", "-1s", "+1s", "1h1h", "30m1h",
		"1ms1m", "1h30", "1.h", ".5h", "1e3s", "0x10", "inf", "nan", "1w", "1us", "1hm", "2h-1m", "1,5h"};
	for (size_t i = 0; i < COUNT(good); i++) {
		double seconds = -1;
		assert_int_equal(units_seconds(good[i].text, &seconds, NULL), 0);
		assert_true(fabs(seconds - good[i].seconds) < 1e-9);
	}
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct error err = {0};
		double seconds = -1;
		assert_int_equal(units_seconds(bad[i], &seconds, &err), -1);
		assert_int_equal(err.code, ERROR_USAGE);
		assert_non_null(strstr(err.text, "expected a time"));
	}
}

static void test_bytes(void **state)
{
	static const struct {
		const char *text;
		long long bytes;
	} good[] = {{"1", 1}, {"131072000", 131072000}, {"125Mi", 131072000}, {"1Gi", 1LL << 30}, {"1.5Gi", 3LL << 29},
		{"500M", 500000000}, {"2k", 2000}, {"1Ki", 1024}, {"129e6", 129000000}, {"1E3", 1000}, {"1e+3", 1000},
		{"15e-1Ki", 1536}, {"1E", 1000000000000000000LL}, {"1Ei", 1LL << 60}, {"2Ti", 2LL << 40},
		{"3P", 3000000000000000LL}, {"1.9", 1}};
	static const char *const bad[] = {"", "0", "0Mi", "-1", "Mi", "1 Mi", "1MB", "1MiB", "1mi", "1K", "1ki", "1B",
		"0.5", "2Ei", "1e30", "1e999", "1e99999999999999999999", "99999999999999999999999999999999", "1e-3",
		"1.", "inf", "0x1p3", "1e", "1e6e6"};
	for (size_t i = 0; i < COUNT(good); i++) {
		long long bytes = -1;
		assert_int_equal(units_bytes(good[i].text, &bytes, NULL), 0);
		assert_int_equal(bytes, good[i].bytes);
	}
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct error err = {0};
		long long bytes = -1;
		assert_int_equal(units_bytes(bad[i], &bytes, &err), -1);
		assert_non_null(strstr(err.text, "expected a size"));
	}
}

static void test_cpus(void **state)
{
	static const struct {
		const char *text;
		double cpus;
	} good[] = {{"2", 2}, {"0.5", 0.5}, {"200m", 0.2}, {"1m", 0.001}, {"0.001", 0.001}, {"1500m", 1.5},
		{"0.1", 0.1}, {"64", 64}};
	static const char *const bad[] = {
		"", "0", "0m", "0.5m", "0.0005", "1.0005", "-1", "1 m", "m", "1k", "200M", "1e3", "inf", "99999999999"};
	for (size_t i = 0; i < COUNT(good); i++) {
		double cpus = -1;
		assert_int_equal(units_cpus(good[i].text, &cpus, NULL), 0);
		assert_true(cpus == good[i].cpus);
	}
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct error err = {0};
		double cpus = -1;
		assert_int_equal(units_cpus(bad[i], &cpus, &err), -1);
		assert_non_null(strstr(err.text, "expected a number of CPUs"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_seconds),
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_cpus),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
