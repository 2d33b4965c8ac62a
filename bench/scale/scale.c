// How long one part of muster takes for so many nodes: reading hosts and planning, a fence, phases, the report.
// Prints the CPU seconds of one pass, the median of several. CPU time, because all of it is one thread that waits for
// nothing, and other programs on the machine do not count then.
//
//     scale ini|yaml|fence|phase|report NODES [PASSES]
#include "base/clock.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "controller/membership.h"
#include "job/job.h"
#include "job/plan.h"
#include "job/plan_make.h"
#include "report/report.h"
#include "wire/event.h"

#include <err.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PASSES = 5 };
static const double pass_seconds = 0.02; // what is shorter is repeated within a pass

static const char *const phases[] = {"preflight", "stage", "setup", "run", "collect"};

static json_t *plan_of(const char *path, const char *dir)
{
	struct error why = {0};
	struct job *job = job_load(path, NULL, 0, &why);
	json_t *plan = job ? plan_make(job, NULL, dir, &why) : NULL;
	if (!plan)
		errx(1, "%s", why.text);
	job_free(job);
	return plan;
}

static void write_file(const char *path, const char *text)
{
	struct error why = {0};
	if (fs_write(path, text, strlen(text), 0644, &why))
		errx(1, "%s", why.text);
}

// --- from the files to the plan ---------------------------------------------------

static void write_ini(size_t nodes, const char *path)
{
	autostr struct str s = {0};
	str_puts(&s, "[gpu]\n");
	for (size_t i = 0; i < nodes; i++)
		str_printf(&s, "gpu%05zu ansible_host=10.%zu.%zu.%zu ansible_port=2200\n", i, i >> 16, i >> 8 & 255,
			i & 255);
	str_puts(&s, "[workers:children]\ngpu\n[gpu:vars]\nansible_user=trainer\n[all:vars]\nansible_user=me\n");
	write_file(path, s.text);
}

static void write_yaml(size_t nodes, const char *path)
{
	autostr struct str s = {0};
	str_puts(&s, "all:\n  vars: {ansible_user: me}\n  children:\n    workers:\n      children:\n        gpu:\n"
		     "          vars: {ansible_user: trainer}\n          hosts:\n");
	for (size_t i = 0; i < nodes; i++)
		str_printf(&s, "            gpu%05zu: {ansible_host: 10.%zu.%zu.%zu, ansible_port: 2200}\n", i, i >> 16,
			i >> 8 & 255, i & 255);
	write_file(path, s.text);
}

static void *prepare_plan(size_t nodes, bool ini)
{
	write_file("job.yaml", ini ? "cluster: {executor: ssh, inventory: hosts, group: workers}\n"
				     "run: {command: [train, --rank, '{rank}']}\n"
				   : "cluster: {executor: ssh, inventory: hosts.yaml, group: workers}\n"
				     "run: {command: [train, --rank, '{rank}']}\n");
	(ini ? write_ini : write_yaml)(nodes, ini ? "hosts" : "hosts.yaml");
	return NULL;
}

static void *prepare_ini(size_t nodes)
{
	return prepare_plan(nodes, true);
}

static void *prepare_yaml(size_t nodes)
{
	return prepare_plan(nodes, false);
}

static void pass_plan(void *data, size_t nodes)
{
	autojson json_t *plan = plan_of("job.yaml", "/");
	autofree char *text = json_dumps(plan, JSON_INDENT(1));
	if (plan_nodes(plan) != nodes || !text)
		errx(1, "found a plan of %zu nodes, expected %zu", plan_nodes(plan), nodes);
}

// --- the controller -----------------------------------------------------------------

static json_t *plan_of_nodes(size_t nodes)
{
	autofree char *text = mem_printf("cluster: {nodes: %zu}\nrun: {command: [train]}\n", nodes);
	write_file("job.yaml", text);
	return plan_of("job.yaml", "/");
}

static void *prepare_membership(size_t nodes)
{
	struct membership *r = mem_alloc(sizeof *r);
	autojson json_t *plan = plan_of_nodes(nodes);
	membership_init(r, plan);
	return r;
}

static void pass_fence(void *data, size_t nodes)
{
	static size_t number;
	autofree char *name = mem_printf("barrier-%zu", number++);
	const json_t *all = NULL;
	for (size_t i = 0; i < nodes; i++)
		all = membership_fence(data, i, name, json_null());
	if (json_array_size(all) != nodes)
		errx(1, "the fence is not complete");
}

static void pass_phase(void *data, size_t nodes)
{
	struct membership *r = data;
	size_t edges = 0;
	membership_start_attempt(r);
	for (size_t p = 0; p < countof(phases); p++)
		for (size_t edge = 0; edge < 2; edge++)
			for (size_t i = 0; i < nodes; i++)
				edges += membership_phase(r, i, phases[p], edge == 0);
	if (edges != 2 * countof(phases))
		errx(1, "found %zu edges of phases, expected %zu", edges, 2 * countof(phases));
}

// --- the report ---------------------------------------------------------------------

static void say(struct run *run, json_t *event)
{
	struct error why = {0};
	if (run_event(run, event, &why))
		errx(1, "%s", why.text);
	json_decref(event);
}

static void say_phases(struct run *run, int node)
{
	for (size_t p = 0; p < countof(phases); p++) {
		say(run, event_make("phase", "s:i, s:s, s:s", "node", node, "name", phases[p], "edge", "begin"));
		say(run, event_make("phase", "s:i, s:s, s:s, s:f", "node", node, "name", phases[p], "edge", "end",
				 "seconds", 0.5));
	}
}

static void *prepare_report(size_t nodes)
{
	struct error why = {0};
	autojson json_t *plan = plan_of_nodes(nodes);
	struct run *run = run_create("runs", "scale", NULL, 0, plan, &why);
	if (!run)
		errx(1, "%s", why.text);
	say(run, event_make("run", "s:s, s:i", "id", run->id, "nodes", (int)nodes));
	for (int i = 0; i < (int)nodes; i++) {
		say(run, event_make(
				 "hello", "s:i, s:s, s:{s:i}", "node", i, "address", "10.0.0.1", "facts", "cores", 64));
		say_phases(run, i);
		say(run, event_make("start", "s:i, s:i", "node", i, "rank", i));
		say(run, event_make("sample", "s:i, s:f, s:f", "node", i, "cpu", 1.5, "memory", 1e9));
		say(run, event_make("exit", "s:i, s:i, s:i", "node", i, "rank", i, "status", 0));
	}
	say(run, event_make("end", "s:s, s:i, s:f", "outcome", "ok", "exit", 0, "seconds", 3.0));
	return run;
}

static void pass_report(void *data, size_t nodes)
{
	struct error why = {0};
	autojson json_t *report = report_make(data, &why);
	autofree char *html = report ? report_html(report, data) : NULL, *text = report ? report_text(report) : NULL;
	if (!html || !text)
		errx(1, "%s", why.text);
	if (json_array_size(json_object_get(report, "phases")) != countof(phases) * nodes)
		errx(1, "found %zu phases, expected %zu", json_array_size(json_object_get(report, "phases")),
			countof(phases) * nodes);
}

// --- measuring ------------------------------------------------------------------------

static const struct part {
	const char *name;
	void *(*prepare)(size_t nodes);
	void (*pass)(void *data, size_t nodes);
} parts[] = {
	{"ini", prepare_ini, pass_plan},
	{"yaml", prepare_yaml, pass_plan},
	{"fence", prepare_membership, pass_fence},
	{"phase", prepare_membership, pass_phase},
	{"report", prepare_report, pass_report},
};

static double measure(const struct part *part, void *data, size_t nodes)
{
	double begin = clock_cpu(), gone = 0;
	size_t count = 0;
	do {
		part->pass(data, nodes);
		count++;
		gone = clock_cpu() - begin;
	} while (gone < pass_seconds);
	return gone / (double)count;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	size_t nodes = argc > 2 ? strtoul(argv[2], NULL, 10) : 0,
	       passes = argc > 3 ? strtoul(argv[3], NULL, 10) : PASSES;
	const struct part *part = NULL;
	for (size_t i = 0; argc > 1 && i < countof(parts); i++)
		if (strcmp(parts[i].name, argv[1]) == 0)
			part = &parts[i];
	if (!part || !nodes || !passes)
		errx(2, "usage: scale ini|yaml|fence|phase|report NODES [PASSES]");
	autofree double *seconds = mem_alloc(passes * sizeof *seconds);
	void *data = part->prepare(nodes);
	for (size_t i = 0; i < passes; i++)
		seconds[i] = measure(part, data, nodes);
	qsort(seconds, passes, sizeof *seconds, by_value);
	printf("%.9f\n", seconds[passes / 2]);
	return 0;
}
