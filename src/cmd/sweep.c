#include "base/crypto.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"
#include "cmd/cmd.h"
#include "exec/executor.h"
#include "job/job.h"
#include "job/plan.h"
#include "job/points.h"
#include "job/site.h"
#include "run/grid.h"
#include "run/trials.h"
#include "run/tree.h"
#include "wire/event.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

static const char usage[] = "usage: muster sweep JOB [OPTION]...\n"
			    "\n"
			    "Runs the job once for each point of its `sweep`, in a shuffled order, each as a run of its own, and compares them. The same command\n"
			    "goes on with a sweep that was interrupted: what is done is not done again.\n"
			    "\n"
			    "  -s, --set PATH=VALUE   override a key of the job file, for all points\n"
			    "      --dry-run          print the points and do nothing\n"
			    "  -y, --yes              do not ask when there are more than 100 runs to make\n"
			    "      --runs DIR         where runs are kept (default $MUSTER_RUNS or ./runs)\n"
			    "      --site FILE        defaults of this site\n"
			    "  -h, --help             print this text\n"
			    "\n"
			    "Exit status: 0 all points ended well, 1 some failed, 2 the command line or the job file is wrong, 130 interrupted.\n";

enum { JOB_MAX = 1 << 20, ASK_FROM = 100, RUNS_MAX = 64, LINE_MAX_BYTES = 4 << 20 };

struct options {
	const char **sets;
	size_t nsets;
	const char *job, *runs, *site;
	bool dry_run, yes, help;
};

// A run that goes on: `muster run --json` as a child.
struct active {
	pid_t pid;
	size_t trial;
	int out, err; // -1: at its end
	struct str line, said;
	double done, total;
	char *outcome, *why;
};

struct sweep {
	const struct options *options;
	struct trials *trials;
	json_t *common; // sets of all runs
	struct active active[RUNS_MAX];
	size_t at_once, nactive, next, failed;
	bool stopping, tty;
	size_t drawn; // lines on the screen
	struct error trouble;
};

static volatile sig_atomic_t interrupted;

static void on_interrupt(int sig)
{
	interrupted = sig;
}

// --- what is to be done ---------------------------------------------------------

static int parse(int argc, char **argv, struct options *o, struct error *err)
{
	enum { SITE = 256, RUNS, DRY };
	static const struct option known[] = {{"set", required_argument, NULL, 's'}, {"yes", no_argument, NULL, 'y'}, {"runs", required_argument, NULL, RUNS},
		{"site", required_argument, NULL, SITE}, {"dry-run", no_argument, NULL, DRY}, {"help", no_argument, NULL, 'h'}, {0}};
	optind = 1;
	opterr = 0;
	for (int c; (c = getopt_long(argc, argv, ":s:yh", known, NULL)) >= 0;) {
		switch (c) {
		case 's':
			o->sets[o->nsets++] = optarg;
			break;
		case 'y':
			o->yes = true;
			break;
		case 'h':
			o->help = true;
			break;
		case DRY:
			o->dry_run = true;
			break;
		case RUNS:
			o->runs = optarg;
			break;
		case SITE:
			o->site = optarg;
			break;
		case ':':
			return error_set(err, ERROR_USAGE, "sweep: '%s' needs a value", argv[optind - 1]);
		default:
			return error_set(err, ERROR_USAGE, "sweep: unknown option '%s'; `muster sweep --help` lists them", argv[optind - 1]);
		}
	}
	if (o->help)
		return 0;
	if (optind + 1 != argc)
		return error_set(err, ERROR_USAGE, optind == argc ? "sweep: expected a job file" : "sweep: expected one job file, found '%s' too", argv[argc - 1]);
	o->job = argv[optind];
	return 0;
}

static json_t *all_sets(const struct options *o, const json_t *point, const json_t *common)
{
	json_t *sets = json_array();
	for (size_t i = 0; i < o->nsets; i++)
		json_array_append_new(sets, json_string(o->sets[i]));
	if (common)
		json_array_extend(sets, (json_t *)common);
	if (point)
		json_array_extend(sets, json_object_get(point, "sets"));
	return sets;
}

// Is the job at this point one that could run? What is wrong is found before anything was done.
static int check_point(const struct options *o, const char *text, size_t len, const json_t *site, const char *dir, const json_t *sets, struct error *err)
{
	size_t count = json_array_size(sets);
	autofree const char **list = mem_alloc(count * sizeof *list);
	for (size_t i = 0; i < count; i++)
		list[i] = json_string_value(json_array_get(sets, i));
	struct job *job = job_parse(text, len, o->job, list, count, err);
	autojson json_t *plan = job ? plan_make(job, site, dir, err) : NULL;
	job_free(job);
	const struct executor *executor = plan ? executor_find(plan_executor(plan), err) : NULL;
	return executor ? executor->check(plan, err) : -1;
}

static int check_points(const struct options *o, const char *text, size_t len, const json_t *points, const json_t *common, struct error *err)
{
	autojson json_t *site = o->site ? site_load(o->site, err) : NULL;
	autofree char *dir = fs_absolute(o->job, err);
	if (!dir || (o->site && !site))
		return -1;
	*strrchr(dir, '/') = '\0';
	size_t i;
	const json_t *point;
	json_array_foreach(points, i, point)
	{
		struct error why;
		autojson json_t *sets = all_sets(o, point, common);
		if (check_point(o, text, len, site, *dir ? dir : "/", sets, &why) < 0)
			return error_set(err, why.code, "at the point '%s': %s", json_string_value(json_object_get(point, "name")), why.text);
	}
	return 0;
}

static void hash_of(const struct options *o, const char *text, size_t len, char hex[CRYPTO_HEX])
{
	struct crypto_hash *hash = crypto_hash_new();
	crypto_hash_add(hash, text, len);
	for (size_t i = 0; i < o->nsets; i++)
		crypto_hash_add(hash, o->sets[i], strlen(o->sets[i]) + 1);
	crypto_hash_end(hash, hex);
}

static int ask(size_t count, const struct options *o, struct error *err)
{
	if (o->yes || count <= ASK_FROM)
		return 0;
	if (!isatty(0) || !isatty(2))
		return error_set(err, ERROR_USAGE, "sweep: %zu runs are to be made; say --yes if you mean it", count);
	fprintf(stderr, "%zu runs are to be made. Go on? [y/N] ", count);
	char answer[8];
	if (fgets(answer, sizeof answer, stdin) && (answer[0] == 'y' || answer[0] == 'Y'))
		return 0;
	return error_set(err, ERROR_CANCELLED, "sweep: not started");
}

// --- what is seen ---------------------------------------------------------------

static const char *point_name(const struct sweep *s, size_t trial)
{
	return tree_text(trials_point(s->trials, trial), "name");
}

static void erase(struct sweep *s)
{
	if (s->drawn)
		fprintf(stderr, "\033[%zuA\033[J", s->drawn);
	s->drawn = 0;
}

static size_t count_over(const struct sweep *s)
{
	size_t over = 0;
	for (size_t i = 0; i < trials_count(s->trials); i++)
		over += tree_has(trials_get(s->trials, i), "outcome");
	return over;
}

// What goes on, below the lines of what is over.
static void draw(struct sweep *s)
{
	if (!s->tty)
		return;
	struct winsize window = {0};
	ioctl(2, TIOCGWINSZ, &window);
	int width = window.ws_col ? window.ws_col - 1 : 79;
	erase(s);
	fprintf(stderr, "%.*s\n", width, s->stopping ? "stopping: the runs that go on are being ended" : "");
	s->drawn = 1;
	for (size_t i = 0; i < s->nactive; i++) {
		const struct active *a = &s->active[i];
		autofree char *far = a->total > 0 ? mem_printf("%.0f of %.0f iterations", a->done, a->total) : mem_strdup(a->done > 0 ? "runs" : "starts");
		autofree char *line = mem_printf("  ... %s: %s", point_name(s, a->trial), far);
		fprintf(stderr, "%.*s\n", width, line);
		s->drawn++;
	}
	fprintf(stderr, "  %zu of %zu runs are over, %zu failed\n", count_over(s), trials_count(s->trials), s->failed);
	s->drawn++;
}

static void tell(struct sweep *s, const struct active *a, const char *outcome)
{
	const json_t *trial = trials_get(s->trials, a->trial);
	erase(s);
	fprintf(stderr, "[%zu/%zu] %s: %s%s%s%s%s\n", count_over(s), trials_count(s->trials), point_name(s, a->trial), outcome, a->why ? ": " : "",
		a->why ? a->why : "", tree_text(trial, "run") ? "; " : "", tree_text(trial, "run") ? tree_text(trial, "run") : "");
	draw(s);
}

// --- one run --------------------------------------------------------------------

static int spawn(struct sweep *s, struct active *a, json_t *sets, struct error *err)
{
	size_t count = json_array_size(sets), n = 0;
	autofree char *self = realpath("/proc/self/exe", NULL);
	autofree char **argv = mem_alloc((2 * count + 10) * sizeof *argv);
	int out[2], says[2];
	argv[n++] = self;
	argv[n++] = "run";
	argv[n++] = "--json";
	argv[n++] = "--runs";
	argv[n++] = (char *)s->options->runs;
	if (s->options->site) {
		argv[n++] = "--site";
		argv[n++] = (char *)s->options->site;
	}
	for (size_t i = 0; i < count; i++) {
		argv[n++] = "--set";
		argv[n++] = (char *)json_string_value(json_array_get(sets, i));
	}
	argv[n++] = (char *)s->options->job;
	if (pipe2(out, O_CLOEXEC) < 0 || pipe2(says, O_CLOEXEC) < 0)
		return error_errno(err, "cannot make a pipe");
	a->pid = proc_spawn(&(struct proc_options){.argv = argv, .in = -1, .out = out[1], .err = says[1], .group = true, .die_with_parent = true}, NULL, err);
	close(out[1]);
	close(says[1]);
	a->out = out[0];
	a->err = says[0];
	return a->pid < 0 ? -1 : 0;
}

static int begin(struct sweep *s, size_t trial, struct error *err)
{
	struct active *a = &s->active[s->nactive];
	*a = (struct active){.trial = trial, .out = -1, .err = -1};
	autojson json_t *sets = all_sets(s->options, trials_point(s->trials, trial), s->common);
	if (spawn(s, a, sets, err) < 0)
		return -1;
	s->nactive++;
	draw(s);
	return 0;
}

static void on_event(struct sweep *s, struct active *a, const json_t *event)
{
	if (event_is(event, "run"))
		trials_set_run(s->trials, a->trial, tree_text(event, "id"), &s->trouble);
	if (event_is(event, "progress") && tree_whole(event, "rank") == 0) {
		a->done = tree_number(event, "done");
		a->total = tree_number(event, "total");
	}
	if (event_is(event, "end")) {
		a->outcome = mem_strdup(tree_text(event, "outcome") ? tree_text(event, "outcome") : "failed");
		a->why = tree_text(event, "why") ? mem_strdup(tree_text(event, "why")) : NULL;
	}
}

static void take_lines(struct sweep *s, struct active *a)
{
	char *text = a->line.text, *newline;
	size_t left = a->line.len;
	while (left && (newline = memchr(text, '\n', left))) {
		autojson json_t *event = event_parse(text, (size_t)(newline - text), NULL);
		if (event)
			on_event(s, a, event);
		left -= (size_t)(newline + 1 - text);
		text = newline + 1;
	}
	if (text != a->line.text)
		memmove(a->line.text, text, left);
	a->line.len = left;
	if (a->line.text)
		a->line.text[left] = '\0';
}

// Reads what there is; closes at the end.
static void read_some(struct sweep *s, struct active *a, int *fd, struct str *into)
{
	char block[16384];
	ssize_t n = read(*fd, block, sizeof block);
	if (n > 0 && into->len < LINE_MAX_BYTES)
		str_add(into, block, (size_t)n);
	if (n <= 0 && errno != EINTR) {
		close(*fd);
		*fd = -1;
	}
	if (into == &a->line)
		take_lines(s, a);
}

// A run that was interrupted is none: it is made again.
static void end(struct sweep *s, size_t k)
{
	struct active a = s->active[k];
	int status;
	waitpid(a.pid, &status, 0);
	s->active[k] = s->active[--s->nactive];
	if (!a.outcome && a.said.len) { // it could not even begin
		a.said.text[strcspn(a.said.text, "\n")] = '\0';
		a.why = mem_strdup(str_starts(a.said.text, "muster: ") ? a.said.text + 8 : a.said.text);
	}
	bool over = a.outcome ? strcmp(a.outcome, "cancelled") != 0 : !s->stopping;
	const char *outcome = a.outcome && strcmp(a.outcome, "ok") == 0 ? "ok" : "failed";
	if (over) {
		s->failed += strcmp(outcome, "ok") != 0;
		trials_set_outcome(s->trials, a.trial, outcome, a.why, &s->trouble);
		tell(s, &a, outcome);
	}
	str_fini(&a.line);
	str_fini(&a.said);
	free(a.outcome);
	free(a.why);
}

// --- all of them ----------------------------------------------------------------

static void stop(struct sweep *s)
{
	s->stopping = true;
	for (size_t i = 0; i < s->nactive; i++)
		kill(s->active[i].pid, interrupted == SIGTERM ? SIGTERM : SIGINT);
	interrupted = 0;
	draw(s);
}

static void wait_some(struct sweep *s)
{
	struct pollfd fds[2 * RUNS_MAX];
	for (size_t i = 0; i < s->nactive; i++) {
		fds[2 * i] = (struct pollfd){.fd = s->active[i].out, .events = POLLIN};
		fds[2 * i + 1] = (struct pollfd){.fd = s->active[i].err, .events = POLLIN};
	}
	if (poll(fds, 2 * s->nactive, -1) < 0)
		return;
	for (size_t i = s->nactive; i-- > 0;) {
		struct active *a = &s->active[i];
		if (fds[2 * i].revents)
			read_some(s, a, &a->out, &a->line);
		if (fds[2 * i + 1].revents)
			read_some(s, a, &a->err, &a->said);
		if (a->out < 0 && a->err < 0)
			end(s, i);
	}
	draw(s);
}

static int run_all(struct sweep *s, struct error *err)
{
	s->next = trials_next(s->trials, 0);
	while (s->nactive || (!s->stopping && s->next < trials_count(s->trials))) {
		if (interrupted)
			stop(s);
		if (s->trouble.text[0] && !s->stopping)
			stop(s);
		while (!s->stopping && s->nactive < s->at_once && s->next < trials_count(s->trials)) {
			if (begin(s, s->next, err) < 0) {
				stop(s);
				return -1;
			}
			s->next = trials_next(s->trials, s->next + 1);
		}
		if (s->nactive)
			wait_some(s);
	}
	erase(s);
	if (s->trouble.text[0])
		return error_set(err, ERROR_SYSTEM, "%s", s->trouble.text);
	return s->stopping ? ERROR_CANCELLED : 0;
}

static void print_points(const struct sweep *s)
{
	static const char *const heads[] = {"#", "POINT", "#ROUND", "OUTCOME", "RUN", NULL};
	struct grid g = {.heads = heads};
	autostr struct str out = {0};
	for (size_t i = 0; i < trials_count(s->trials); i++) {
		const json_t *trial = trials_get(s->trials, i);
		grid_take(&g, mem_printf("%zu", i + 1));
		grid_add(&g, point_name(s, i));
		grid_take(&g, mem_printf("%.0f", tree_number(trial, "round") + 1));
		grid_add(&g, tree_text(trial, "outcome"));
		grid_add(&g, tree_text(trial, "run"));
	}
	grid_print(&g, &out, "");
	fputs(out.text, stdout);
}

static int go(struct sweep *s, struct error *err)
{
	size_t todo = 0, failed = 0;
	for (size_t i = trials_next(s->trials, 0); i < trials_count(s->trials); i = trials_next(s->trials, i + 1))
		todo++;
	if (todo && ask(todo, s->options, err) < 0)
		return -1;
	fprintf(stderr, "sweep %s: %zu points, %zu runs%s\n", s->trials->id, tree_count(s->trials->tree, "points"), trials_count(s->trials),
		todo < trials_count(s->trials) ? ", some of which are done" : "");
	struct sigaction action = {.sa_handler = on_interrupt}; // without SA_RESTART: poll is to return
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	int rc = run_all(s, err);
	if (rc == ERROR_CANCELLED)
		fprintf(stderr, "interrupted; the same command goes on with it\n");
	if (rc != 0)
		return rc;
	for (size_t i = 0; i < trials_count(s->trials); i++)
		failed += !tree_is(trials_get(s->trials, i), "outcome", "ok");
	print_points(s);
	fprintf(stderr, "`muster compare %s` compares them, `muster choose %s` picks one\n", s->trials->id, s->trials->id);
	return failed ? ERROR_JOB : 0;
}

static int sweep(const struct options *o, struct error *err)
{
	size_t len;
	autofree char *text = fs_read(o->job, JOB_MAX, &len, err);
	struct job *job = text ? job_parse(text, len, o->job, o->sets, o->nsets, err) : NULL;
	autojson json_t *points = job ? points_make(job, err) : NULL, *common = job ? points_sets(job) : NULL;
	char hash[CRYPTO_HEX];
	int rc = -1;
	if (points && check_points(o, text, len, points, common, err) == 0) {
		hash_of(o, text, len, hash);
		struct sweep s = {.options = o, .common = common, .at_once = (size_t)job->sweep.at_once, .tty = isatty(2)};
		s.at_once = s.at_once < RUNS_MAX ? s.at_once : RUNS_MAX;
		if (o->dry_run) {
			size_t i;
			const json_t *point;
			json_array_foreach(points, i, point)
				puts(tree_text(point, "name"));
			rc = 0;
		} else {
			s.trials = trials_begin(o->runs, job->name, hash, o->job, text, points, (size_t)job->sweep.repeat, (unsigned long)job->sweep.seed, err);
			if (s.trials)
				json_object_set_new(s.trials->tree, "sets", all_sets(o, NULL, NULL));
			rc = s.trials ? go(&s, err) : -1;
			trials_free(s.trials);
		}
	} else if (!text && err->code == 0) {
		err->code = ERROR_USAGE;
	}
	job_free(job);
	return rc;
}

int cmd_sweep(int argc, char **argv, struct error *err)
{
	autofree const char **sets = mem_alloc((size_t)argc * sizeof *sets);
	struct options o = {.sets = sets};
	if (parse(argc, argv, &o, err) < 0)
		return -1;
	if (o.help) {
		fputs(usage, stdout);
		return 0;
	}
	if (!o.runs)
		o.runs = getenv("MUSTER_RUNS") ? getenv("MUSTER_RUNS") : "runs";
	return sweep(&o, err);
}
