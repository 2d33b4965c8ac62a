#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"
#include "report/report.h"
#include "wire/event.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char top[] = "/tmp/report-test-XXXXXX";
static struct run *run;

#define BEGUN 1700000000.0

static int setup(void **state)
{
	strcpy(top + strlen(top) - 6, "XXXXXX");
	if (!mkdtemp(top))
		return -1;
	autojson json_t *plan = json_array(), *nodes = json_array(), *ranks = json_array();
	for (int k = 0; k < 2; k++) {
		autofree char *name = mem_printf("node-%d", k);
		json_array_append_new(nodes,
			mem_json("{s:i, s:s, s:s, s:i}", "node", k, "name", name, "role", "worker", "memory", 1 << 20));
		json_array_append_new(ranks, mem_json("{s:i, s:i, s:s, s:b, s:[s]}", "rank", k, "node", k, "role",
						     "worker", "decides", 1, "argv", "x"));
	}
	json_decref(plan);
	plan = mem_json("{s:i, s:s, s:s, s:s, s:i, s:O, s:O}", "plan", 1, "name", "demo", "executor", "local", "launch",
		"mpi", "size", 2, "nodes", nodes, "ranks", ranks);
	run = run_create(top, "demo", "name: demo\n", 11, plan, NULL);
	return run ? 0 : -1;
}

static int teardown(void **state)
{
	run_free(run);
	return fs_remove(top, NULL);
}

// Appends the event whose members are given as JSON, t seconds after the start.
static void say(double t, const char *type, const char *members)
{
	bool metric = strcmp(type, "metric") == 0 || strcmp(type, "progress") == 0 || strcmp(type, "sample") == 0;
	autofree char *line =
		mem_printf("{\"ts\":%.6f,\"type\":\"%s\"%s%s}", BEGUN + t, type, *members ? "," : "", members);
	assert_int_equal(run_line(run, metric, line, strlen(line), NULL), 0);
}

static void begin(void)
{
	say(0, "run",
		"\"id\":\"x\",\"name\":\"demo\",\"executor\":\"local\",\"nodes\":2,\"size\":2,\"version\":\"0.1.0\","
		"\"plan\":\"plan."
		"json\"");
	say(0, "state", "\"from\":\"planned\",\"to\":\"starting\",\"why\":null");
	say(0, "phase", "\"name\":\"bring-up\",\"edge\":\"begin\"");
	say(1, "hello", "\"node\":0,\"name\":\"node-0\",\"address\":\"127.0.0.2\",\"facts\":{\"cores\":2}");
	say(2, "hello", "\"node\":1,\"name\":\"node-1\",\"address\":\"127.0.0.3\",\"facts\":{\"cores\":2}");
	say(2, "phase", "\"name\":\"bring-up\",\"edge\":\"end\",\"seconds\":2");
	say(2, "state", "\"from\":\"starting\",\"to\":\"running\",\"why\":null");
	say(3, "phase", "\"name\":\"run\",\"edge\":\"begin\"");
	say(3, "start", "\"node\":0,\"rank\":0,\"pid\":10,\"argv\":[\"x\"]");
	say(3, "start", "\"node\":1,\"rank\":1,\"pid\":11,\"argv\":[\"x\"]");
}

static void end(double t, const char *members)
{
	say(t, "receipt", "\"left\":[],\"seconds\":0.1");
	say(t, "end", members);
}

static json_t *make(void)
{
	struct error err = {0};
	json_t *report = report_make(run, &err);
	if (!report)
		fail_msg("%s", err.text);
	return report;
}

// The member at a path such as "ranks.1.state".
static const json_t *at(const json_t *tree, const char *path)
{
	autofree char *copy = mem_strdup(path);
	char *rest = copy;
	for (char *name; tree && (name = strsep(&rest, "."));)
		tree = json_is_array(tree) ? json_array_get(tree, strtoul(name, NULL, 10))
					   : json_object_get(tree, name);
	return tree;
}

static void expect(const json_t *tree, const char *path, const char *text)
{
	const json_t *value = at(tree, path);
	if (!text && (!value || json_is_null(value)))
		return;
	if (!json_is_string(value) || strcmp(json_string_value(value), text ? text : "") != 0) {
		autofree char *found = json_dumps(value, JSON_ENCODE_ANY);
		fail_msg("%s is %s, expected %s", path, found ? found : "missing", text ? text : "null");
	}
}

static void expect_number(const json_t *tree, const char *path, double number)
{
	const json_t *value = at(tree, path);
	if (!json_is_number(value) || fabs(json_number_value(value) - number) > 1e-6) {
		autofree char *found = json_dumps(value, JSON_ENCODE_ANY);
		fail_msg("%s is %s, expected %g", path, found ? found : "missing", number);
	}
}

static char *slurp(const char *name)
{
	autofree char *path = run_path(run, name);
	return fs_read(path, 64 << 20, NULL, NULL);
}

static void test_ok(void **state)
{
	begin();
	say(13, "exit",
		"\"node\":0,\"rank\":0,\"status\":0,\"signal\":null,\"why\":null,\"seconds\":10,\"last\":[\"bye\"]");
	say(14, "exit", "\"node\":1,\"rank\":1,\"status\":0,\"signal\":null,\"why\":null,\"seconds\":11,\"last\":[]");
	say(14, "phase", "\"name\":\"run\",\"edge\":\"end\",\"seconds\":11");
	say(14, "phase", "\"name\":\"collect\",\"edge\":\"begin\",\"node\":0");
	say(16, "phase", "\"name\":\"collect\",\"edge\":\"end\",\"node\":0,\"seconds\":2");
	say(14, "phase", "\"name\":\"collect\",\"edge\":\"begin\",\"node\":1");
	say(18, "phase", "\"name\":\"collect\",\"edge\":\"end\",\"node\":1,\"seconds\":4");
	say(18, "output", "\"node\":0,\"path\":\"a/b.bin\",\"bytes\":5,\"ok\":true");
	end(20, "\"outcome\":\"ok\",\"why\":null,\"exit\":0,\"seconds\":20");
	assert_int_equal(run_output(run, 0, "hello\nbye\n", 10, NULL), 0);

	autojson json_t *report = make();
	expect(report, "outcome", "ok");
	expect(report, "state", "done");
	expect(report, "failure", NULL);
	expect(report, "id", run->id);
	expect(report, "launch", "mpi");
	expect(report, "nodes.1.address", "127.0.0.3");
	expect(report, "nodes.1.state", "done");
	expect_number(report, "nodes.0.seconds", 15);
	expect_number(report, "nodes.1.seconds", 16);
	expect_number(report, "mean_seconds", 15.5);
	expect(report, "ranks.0.state", "ok");
	expect_number(report, "ranks.0.bytes", 10);
	expect_number(report, "phases.0.seconds", 2);
	expect_number(report, "seconds", 20);
	assert_int_equal(json_array_size(at(report, "receipt.left")), 0);

	assert_int_equal(report_write(run, NULL), 0);
	autofree char *times = slurp("times.txt"), *saved = slurp("report.json");
	assert_string_equal(times, "demo: 15.500\n");
	autojson json_t *back = json_loads(saved, 0, NULL);
	expect(back, "outcome", "ok");
	autofree char *text = report_text(report);
	assert_non_null(strstr(text, ": ok\n"));
	assert_non_null(strstr(text, "nothing is left"));
}

static void test_failed_rank(void **state)
{
	begin();
	say(9, "exit",
		"\"node\":1,\"rank\":1,\"status\":null,\"signal\":9,\"why\":null,\"seconds\":6,\"last\":[\"one\","
		"\"oom\"]");
	say(9, "fail", "\"phase\":\"run\",\"node\":1,\"rank\":1,\"why\":\"killed by signal 9\"");
	say(9.5, "fail", "\"phase\":\"run\",\"why\":\"a second one\"");
	say(9.5, "signal", "\"signal\":15,\"why\":\"rank 1 failed\"");
	say(10, "exit",
		"\"node\":0,\"rank\":0,\"status\":null,\"signal\":15,\"why\":\"told to "
		"stop\",\"seconds\":7,\"last\":[]");
	say(10, "phase", "\"name\":\"run\",\"edge\":\"end\",\"seconds\":7");
	end(11, "\"outcome\":\"failed\",\"why\":\"killed by signal 9\",\"exit\":1,\"seconds\":11");
	autojson json_t *report = make();
	expect(report, "outcome", "failed");
	expect(report, "failure.why", "killed by signal 9");
	expect_number(report, "failure.rank", 1);
	expect_number(report, "failure.t", 9);
	expect(report, "warnings.0.why", "a second one");
	expect(report, "ranks.0.state", "stopped");
	expect(report, "ranks.1.state", "failed");
	expect_number(report, "ranks.1.signal", 9);
	expect(report, "ranks.1.last.1", "oom");
	// Nobody collected: the run phase counts.
	expect_number(report, "mean_seconds", 7);
	autofree char *text = report_text(report), *html = report_html(report, run);
	assert_non_null(strstr(
		text, "  why       killed by signal 9\n            rank 1 on node-1, after 9.0 s, in phase run\n"));
	assert_non_null(strstr(text, "    oom\n"));
	assert_non_null(strstr(html, "Rank 1 on node-1, 9.0 s after the start, in phase run"));
}

static void test_failure_nobody_told(void **state)
{
	begin();
	say(9, "exit", "\"node\":0,\"rank\":0,\"status\":0,\"signal\":null,\"why\":null,\"seconds\":6,\"last\":[]");
	say(9, "exit", "\"node\":1,\"rank\":1,\"status\":3,\"signal\":null,\"why\":null,\"seconds\":6,\"last\":[]");
	end(11, "\"outcome\":\"failed\",\"why\":null,\"exit\":1,\"seconds\":11");
	assert_int_equal(run_output(run, 1, "first\nsecond \xff\nlast", 19, NULL), 0);
	autojson json_t *report = make();
	expect(report, "failure.why", "exit status 3");
	expect_number(report, "failure.rank", 1);
	// The last lines come from its output then.
	expect(report, "ranks.1.last.0", "first");
	expect(report, "ranks.1.last.1", "second \xef\xbf\xbd");
	expect(report, "ranks.1.last.2", "last");
}

static void test_cancelled(void **state)
{
	begin();
	say(5, "exit",
		"\"node\":0,\"rank\":0,\"status\":143,\"signal\":null,\"why\":\"cancelled\",\"seconds\":2,\"last\":[]");
	end(6, "\"outcome\":\"cancelled\",\"why\":\"interrupted\",\"exit\":130,\"seconds\":6");
	autojson json_t *report = make();
	expect(report, "outcome", "cancelled");
	expect(report, "why", "interrupted");
	expect_number(report, "exit", 130);
	expect(report, "failure", NULL);
	expect(report, "ranks.0.state", "stopped");
	expect(report, "ranks.1.state", "unknown");
	autofree char *text = report_text(report);
	assert_non_null(strstr(text, ": cancelled (exit 130)\n  why       interrupted\n"));
}

static void write_control(long long pid, unsigned long long started)
{
	autofree char *path = run_path(run, "control.json"),
		      *text = mem_printf("{\"pid\":%lld,\"started\":%llu}", pid, started);
	assert_int_equal(fs_write(path, text, strlen(text), 0600, NULL), 0);
}

static void test_running_and_lost(void **state)
{
	begin();
	write_control(getpid(), proc_started(getpid()));
	autojson json_t *live = make();
	expect(live, "outcome", "running");
	expect(live, "why", NULL);
	expect(live, "state", "running");
	expect(live, "ranks.0.state", "running");
	expect(live, "nodes.0.state", "up");
	autojson json_t *brief = report_brief(run, NULL);
	expect(brief, "outcome", "running");

	write_control(getpid(), proc_started(getpid()) + 1);
	autofree char *why =
		mem_printf("its controller (pid %d) was killed; `muster reap` removes what it left", getpid());
	autojson json_t *lost = make();
	expect(lost, "outcome", "lost");
	expect(lost, "why", why);
	expect_number(lost, "exit", 3);
	expect_number(lost, "seconds", 3);
	expect(lost, "ranks.0.state", "unknown");
	autojson json_t *brief_lost = report_brief(run, NULL), *summary = report_summary(run, NULL);
	expect(brief_lost, "outcome", "lost");
	expect(brief_lost, "why", why);
	expect_number(brief_lost, "seconds", 3);
	expect(summary, "why", why);
	autofree char *text = report_text(summary);
	assert_non_null(strstr(text, ": lost (exit 3)\n"));
	assert_int_equal(report_write(run, NULL), 0);
	autofree char *times = slurp("times.txt");
	assert_string_equal(times, "");
}

static void test_just_begun_is_not_lost(void **state)
{
	autojson json_t *first = event_make("run", "s:s, s:i", "name", "demo", "size", 2);
	assert_int_equal(run_event(run, first, NULL), 0);
	autojson json_t *report = make(), *brief = report_brief(run, NULL);
	expect(report, "outcome", "running");
	expect(brief, "outcome", "running");
}

static void test_retry(void **state)
{
	begin();
	say(5, "exit",
		"\"node\":1,\"rank\":1,\"status\":3,\"signal\":null,\"why\":null,\"seconds\":2,\"last\":[\"boom\"]");
	say(5, "fail", "\"phase\":\"run\",\"node\":1,\"rank\":1,\"why\":\"exit status 3\"");
	say(5, "phase", "\"name\":\"run\",\"edge\":\"end\",\"seconds\":2");
	say(6, "retry", "\"attempt\":2,\"why\":\"rank 1: exit status 3\"");
	say(6, "phase", "\"name\":\"run\",\"edge\":\"begin\"");
	say(6, "start", "\"node\":0,\"rank\":0,\"pid\":20,\"argv\":[\"x\"]");
	say(6, "start", "\"node\":1,\"rank\":1,\"pid\":21,\"argv\":[\"x\"]");
	say(9, "exit", "\"node\":0,\"rank\":0,\"status\":0,\"signal\":null,\"why\":null,\"seconds\":3,\"last\":[]");
	say(9, "exit", "\"node\":1,\"rank\":1,\"status\":0,\"signal\":null,\"why\":null,\"seconds\":3,\"last\":[]");
	say(9, "phase", "\"name\":\"run\",\"edge\":\"end\",\"seconds\":3");
	end(10, "\"outcome\":\"ok\",\"why\":null,\"exit\":0,\"seconds\":10");
	autojson json_t *report = make();
	expect(report, "outcome", "ok");
	expect(report, "failure", NULL);
	expect_number(report, "attempt", 2);
	expect_number(report, "retries.0.attempt", 2);
	expect(report, "ranks.1.state", "ok");
	expect(report, "ranks.1.last.0", NULL);
	expect_number(report, "ranks.1.pid", 21);
	expect_number(report, "mean_seconds", 5); // both attempts
	expect(report, "warnings.0.why", "exit status 3");
}

static void test_lost_node_comes_back(void **state)
{
	begin();
	say(4, "lost", "\"node\":1,\"why\":\"no heartbeat for 5 s\"");
	autojson json_t *away = make();
	expect(away, "nodes.1.state", "lost");
	expect(away, "warnings.0.why", "no heartbeat for 5 s");
	say(8, "back", "\"node\":1,\"seconds\":4");
	autojson json_t *back = make();
	expect(back, "nodes.1.state", "unknown"); // there is no controller
	expect_number(back, "nodes.1.away", 4);
}

static void test_metrics(void **state)
{
	begin();
	for (int i = 0; i < 5000; i++) {
		char members[200];
		snprintf(members, sizeof members,
			"\"node\":%d,\"rank\":%d,\"name\":\"loss\",\"value\":%g,\"unit\":\"nat\",\"step\":%d", i % 2,
			i % 2,
			i == 3001   ? -77.0
			: i == 4000 ? 99.0
				    : 1.0,
			i / 2);
		say(3 + i * 0.001, "metric", members);
	}
	say(8, "progress", "\"node\":0,\"rank\":0,\"done\":10,\"total\":100");
	say(10, "progress", "\"node\":0,\"rank\":0,\"done\":20,\"total\":100");
	say(10, "progress", "\"node\":1,\"rank\":1,\"done\":7,\"total\":null");
	say(9, "sample",
		"\"node\":1,\"cpu\":0.5,\"memory\":1048576,\"rx\":0,\"tx\":0,\"ranks\":[{\"rank\":1,\"cpu\":0.4,"
		"\"memory\":5}]");
	autojson json_t *report = make();
	expect(report, "metrics.0.name", "loss");
	expect(report, "metrics.0.unit", "nat");
	expect_number(report, "metrics.0.series.1.rank", 1);
	expect_number(report, "metrics.0.series.1.count", 2500);
	expect_number(report, "metrics.0.series.1.min", -77);
	expect_number(report, "metrics.0.series.0.max", 99);
	expect_number(report, "metrics.0.series.0.step", 2499);
	const json_t *points = at(report, "metrics.0.series.1.points");
	assert_in_range(json_array_size(points), 300, 1000);
	bool low = false;
	for (size_t i = 0; i < json_array_size(points); i++)
		low |= json_number_value(json_array_get(json_array_get(points, i), 2)) == -77;
	assert_true(low);
	// No metric tells a time, so iterations come from progress: 2 seconds for 10.
	expect(report, "iterations.metric", NULL);
	expect_number(report, "iterations.series.0.mean", 0.2);
	expect_number(report, "progress.0.done", 20);
	expect_number(report, "progress.1.done", 7);
	assert_true(json_is_null(at(report, "progress.1.total")));
	autofree char *text = report_text(report);
	assert_non_null(strstr(text, " 20 of 100\n"));
	assert_non_null(strstr(text, " 7\n"));
	expect_number(report, "samples.nodes.0.cpu.last", 0.5);
	expect_number(report, "samples.ranks.0.memory.max", 5);
	say(11, "metric", "\"node\":0,\"rank\":0,\"name\":\"Time\",\"value\":0.25");
	say(11, "metric", "\"node\":0,\"rank\":0,\"name\":\"iter_seconds\",\"value\":0.25");
	autojson json_t *timed = make();
	expect(timed, "iterations.metric", "iter_seconds");
	autojson json_t *summary = report_summary(run, NULL);
	expect_number(summary, "metrics.0.series.0.last", 1);
	assert_null(at(summary, "metrics.0.series.0.points"));
}

static void test_nonsense_is_survived(void **state)
{
	begin();
	static const char *const types[] = {"run", "state", "phase", "hello", "lost", "back", "preflight", "input",
		"setup", "start", "exit", "output", "warn", "fail", "refused", "signal", "retry", "receipt", "end",
		"metric", "progress", "sample"};
	static const char *const members[] = {"",
		"\"node\":[],\"rank\":{},\"name\":5,\"why\":7,\"ranks\":[1,null],\"rows\":3,\"left\":\"x\",\"last\":2",
		"\"node\":999999,\"rank\":-1,\"value\":\"x\",\"outcome\":3,\"facts\":[]",
		"\"node\":1,\"rank\":1,\"name\":null,\"last\":[1,null,{}],\"rows\":[1,{}]"};
	for (size_t i = 0; i < countof(types); i++)
		for (size_t k = 0; k < countof(members); k++)
			say(4, types[i], members[k]);
	say(1e300, "warn", "\"why\":\"late\"");
	autojson json_t *report = make(), *summary = report_summary(run, NULL);
	assert_int_equal(json_array_size(at(report, "nodes")), 2);
	autofree char *text = report_text(report), *short_text = report_text(summary), *html = report_html(report, run);
	assert_non_null(html);
	assert_int_equal(report_write(run, NULL), 0);
	// Without a plan and with nothing at all.
	autofree char *plan = run_path(run, "plan.json"), *log = run_path(run, "events.jsonl");
	unlink(plan);
	assert_int_equal(report_write(run, NULL), 0);
	assert_int_equal(truncate(log, 0), 0);
	assert_int_equal(report_write(run, NULL), 0);
}

static void put(const char *name, const char *bytes, size_t len)
{
	autofree char *path = run_path(run, name), *dir = mem_strdup(path);
	*strrchr(dir, '/') = '\0';
	assert_int_equal(fs_mkdirs(dir, 0755, NULL), 0);
	assert_int_equal(fs_write(path, bytes, len, 0644, NULL), 0);
}

static size_t count(const char *text, const char *word)
{
	size_t n = 0;
	for (; (text = strstr(text, word)); text += strlen(word))
		n++;
	return n;
}

static void test_hostile_strings(void **state)
{
	static const char evil[] =
		"</script><script>alert(1)</script><img src=x onerror=alert(2)>\\\"'&<!--\\u001b[31m\\u0007";
	autofree char *why = mem_printf("\"why\":\"%s\",\"peer\":\"%s\",\"node\":1", evil, evil);
	autofree char *metric = mem_printf("\"rank\":0,\"name\":\"%s\",\"unit\":\"%s\",\"value\":1", evil, evil);
	autofree char *exit =
		mem_printf("\"rank\":0,\"status\":1,\"why\":\"%s\",\"last\":[\"%s\",\"\\ufffd\"]", evil, evil);
	autofree char *path = mem_printf(
		"\"node\":0,\"path\":\"%s\",\"name\":\"%s\",\"from\":\"%s\",\"sha256\":\"%s\",\"ok\":false,\"bytes\":1",
		evil, evil, evil, evil);
	autofree char *plan = run_path(run, "plan.json"); // names come from the nodes then
	unlink(plan);
	autofree char *hello = mem_printf("\"node\":1,\"name\":\"%s\",\"address\":\"%s\"", evil, evil);
	autofree char *left = mem_printf("\"left\":[{\"what\":\"%s\",\"id\":\"%s\",\"%s\":1}]", evil, evil, "more");
	autofree char *phase = mem_printf("\"name\":\"%s\",\"edge\":\"begin\",\"node\":1", evil);
	autofree char *over = mem_printf("\"outcome\":\"%s\",\"why\":\"%s\",\"exit\":1,\"seconds\":9", evil, evil);
	begin();
	say(4, "hello", hello);
	say(4, "phase", phase);
	say(4, "metric", metric);
	say(4, "warn", why);
	say(4, "refused", why);
	say(4, "exit", exit);
	say(4, "output", path);
	say(4, "input", path);
	say(4, "setup", path);
	say(4, "fail", why);
	say(4, "receipt", left);
	say(4, "end", over);
	put("outputs/node-0/<img src=x onerror=alert(3)>\"'.png", "\x89PNG\r\n\x1a\nx", 9);
	autojson json_t *report = make();
	autofree char *html = report_html(report, run);
	// Our two scripts, and no more tags than we made ourselves.
	assert_int_equal(count(html, "<script"), 2);
	assert_int_equal(count(html, "</script"), 2);
	assert_int_equal(count(html, "<img "), 1);
	assert_null(strstr(html, "<!--"));
	assert_null(strchr(html, '\x1b'));
	assert_null(strchr(html, '\x07'));
	assert_true(count(html, "&lt;script&gt;alert(1)") > 10);
	assert_non_null(strstr(html, "\\u003c/script>"));
	assert_int_equal(str_utf8_valid(html, strlen(html)), strlen(html));
	autofree char *text = report_text(report);
	assert_null(strchr(text, '\x1b'));
	// What the script reads is what was there.
	const char *data = strstr(html, "id=\"data\">") + strlen("id=\"data\">");
	autojson json_t *read = json_loadb(data, (size_t)(strstr(data, "</script>") - data), 0, NULL);
	assert_true(json_equal(at(read, "metrics"), at(report, "metrics")));
}

static void test_page_needs_nothing(void **state)
{
	begin();
	autojson json_t *report = make();
	autofree char *html = report_html(report, run);
	assert_non_null(strstr(html, "default-src 'none'"));
	assert_non_null(strstr(html, "script-src 'sha256-"));
	assert_ptr_equal(strstr(html, "http://"), strstr(html, "http://www.w3.org/2000/svg")); // a name, not an address
	assert_null(strstr(html, "https://"));
	assert_null(strstr(html, "url("));
	assert_null(strstr(html, "<link"));
}

static void test_images(void **state)
{
	static const char png[] = "\x89PNG\r\n\x1a\n0123456789";
	begin();
	for (int i = 0; i < 12; i++) {
		autofree char *name = mem_printf("outputs/node-0/samples/fake-%d.png", i);
		put(name, png, sizeof png - 1);
	}
	put("outputs/node-1/a.JPG", "\xff\xd8\xff\xe0", 4);
	put("outputs/node-1/not.gif", "<script>", 8);
	put("outputs/node-1/x.svg", "<svg/>", 6);
	put("secret.png", png, sizeof png - 1);
	autofree char *link = run_path(run, "outputs/node-1/link.png"), *secret = run_path(run, "secret.png");
	assert_int_equal(symlink(secret, link), 0);
	autojson json_t *report = make();
	const json_t *images = at(report, "images");
	assert_int_equal(json_array_size(images), 14);
	expect(report, "images.13.path", "outputs/node-0/samples/fake-11.png");
	autofree char *html = report_html(report, run);
	assert_int_equal(count(html, "<img "), 13);
	assert_non_null(strstr(html, "data:image/png;base64,iVBORw0KGgowMTIzNDU2Nzg5\""));
	assert_non_null(strstr(html, "data:image/jpeg;base64,/9j/4A==\""));
	assert_null(strstr(html, "link.png"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

enum { MANY = 10000 };

static void test_many_outputs(void **state)
{
	begin();
	say(2, "output", "\"node\":0,\"path\":\"gone\",\"ok\":false,\"why\":\"Input/output error\"");
	for (int i = 0; i < 10500; i++) {
		autofree char *members = mem_printf("\"node\":0,\"path\":\"f%d\",\"bytes\":2,\"ok\":true", i);
		say(3, "output", members);
	}
	end(5, "\"outcome\":\"failed\",\"exit\":1,\"seconds\":5");
	autojson json_t *report = make();
	expect_number(report, "outputs_total.files", 10500);
	expect_number(report, "outputs_total.bytes", 21000);
	expect_number(report, "outputs_total.lost", 1);
	assert_int_equal(json_array_size(at(report, "outputs")), 10000);
	expect(report, "lost_outputs.0.path", "gone");
	expect(report, "lost_outputs.0.why", "Input/output error");
	assert_int_equal(report_write(run, NULL), 0);
	autofree char *page = slurp("report.html");
	assert_non_null(strstr(page, "10500 files, 1 not brought back"));
	assert_non_null(strstr(page, "gone</th>"));
	assert_non_null(strstr(page, "All 10501 are in events.jsonl"));
}

static struct run *run_of_many_nodes(void)
{
	autojson json_t *nodes = json_array(), *ranks = json_array();
	for (int k = 0; k < MANY; k++) {
		json_array_append_new(nodes, mem_json("{s:i}", "node", k));
		json_array_append_new(ranks, mem_json("{s:i, s:i}", "rank", k, "node", k));
	}
	autojson json_t *plan =
		mem_json("{s:s, s:i, s:O, s:O}", "name", "many", "size", MANY, "nodes", nodes, "ranks", ranks);
	return run_create(top, "many", NULL, 0, plan, NULL);
}

static void say_phase(double t, int node, const char *name, const char *edge)
{
	autofree char *members = mem_printf("\"node\":%d,\"name\":\"%s\",\"edge\":\"%s\"", node, name, edge);
	say(t, "phase", members);
}

// Nothing of ten thousand nodes is left out, and what looks at all phases for each of them takes minutes.
static void test_many_nodes(void **state)
{
	run_free(run);
	run = run_of_many_nodes();
	begin();
	for (int k = 0; k < MANY; k++)
		say_phase(4, k, "stage", "begin");
	for (int k = 0; k < MANY; k++) {
		say_phase(5 + k % 10, k, "stage", "end");
		say_phase(20, k, "run", "begin");
		say(20, "warn", "\"node\":1,\"why\":\"it is warm\"");
		autofree char *sample = mem_printf("\"node\":%d,\"cpu\":1,\"memory\":%d,\"rx\":1,\"tx\":1", k, k);
		say(21, "sample", sample);
	}
	say(22, "warn", "\"why\":\"the last\"");
	for (int k = MANY; k-- > 0;)
		say_phase(30, k, "run", "end");
	end(31, "\"outcome\":\"ok\",\"exit\":0,\"seconds\":31");
	autojson json_t *report = make();
	assert_int_equal(json_count(report, "phases"), 2 + 2 * MANY);
	assert_int_equal(json_count(report, "warnings"), MANY + 1);
	expect(report, "warnings.10000.why", "the last");
	expect_number(report, "phases.10001.node", 9999); // behind two of the run itself
	expect_number(report, "phases.10001.seconds", 10);
	expect_number(report, "phases.20001.end", 30);
	expect_number(report, "nodes.9999.seconds", 10);
	expect_number(report, "samples.nodes.9999.memory.last", 9999);
	assert_null(json_object_get(report, "values_left_out"));
	autofree char *html = report_html(report, run);
	assert_non_null(strstr(html, "The first 500 of 10000 nodes; the phases of all are in report.json."));
	assert_non_null(strstr(html, "9501 more are in report.json."));
}

// A rank may make up names of metrics without end: what is left out of the report is counted in it.
static void test_too_many_metrics(void **state)
{
	enum { KEPT = 20400, MORE = 10 };
	begin();
	for (int i = 0; i < KEPT + MORE; i++) {
		autofree char *members = mem_printf("\"node\":0,\"rank\":0,\"name\":\"m%d\",\"value\":1", i);
		say(4, "metric", members);
	}
	autojson json_t *report = make();
	assert_int_equal(json_count(report, "metrics"), KEPT);
	expect_number(report, "values_left_out", MORE);
	autofree char *html = report_html(report, run), *text = report_text(report);
	assert_non_null(strstr(html, "10 values of further metrics"));
	assert_non_null(strstr(text, "10 values of further metrics"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_many_nodes),
		TEST(test_too_many_metrics),
		TEST(test_ok),
		TEST(test_failed_rank),
		TEST(test_failure_nobody_told),
		TEST(test_cancelled),
		TEST(test_running_and_lost),
		TEST(test_just_begun_is_not_lost),
		TEST(test_retry),
		TEST(test_lost_node_comes_back),
		TEST(test_metrics),
		TEST(test_nonsense_is_survived),
		TEST(test_hostile_strings),
		TEST(test_page_needs_nothing),
		TEST(test_images),
		TEST(test_many_outputs),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
