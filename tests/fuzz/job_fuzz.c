#include "base/mem.h"
#include "base/str.h"
#include "job/job.h"
#include "job/plan.h"
#include "job/plan_make.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_SETS = 8, MAX_RANKS = 200 };

// Lines "# set: PATH=VALUE" at the start are options.
static size_t take_sets(const char *text, char *sets[static MAX_SETS])
{
	static const char start[] = "# set: ";
	size_t count = 0;
	while (count < MAX_SETS && str_starts(text, start)) {
		size_t len = strcspn(text, "\n");
		sets[count++] = mem_strndup(text + strlen(start), len - strlen(start));
		text += len + (text[len] == '\n');
	}
	return count;
}

// Plans of thousands of ranks are right as well, but too slow to make so often.
static bool is_small(const struct job *job)
{
	const struct job_role *roles = job->cluster.roles.items;
	long nodes = job->cluster.nodes;
	for (size_t i = 0; i < job->cluster.roles.count; i++)
		nodes += roles[i].nodes;
	return nodes < MAX_RANKS && nodes * job->run.procs_per_node < MAX_RANKS;
}

static void check_error(const struct error *err)
{
	assert(err->code == ERROR_USAGE && *err->text);
	assert(strlen(err->text) == sizeof err->text - 1 || !err->text[str_utf8_valid(err->text, strlen(err->text))]);
}

static void check_plan(const json_t *plan)
{
	size_t i, nodes = plan_nodes(plan), size = plan_size(plan);
	json_t *rank;
	assert(nodes && size && size == json_array_size(json_object_get(plan, "ranks")) && plan_executor(plan));
	json_array_foreach (json_object_get(plan, "ranks"), i, rank) {
		assert((size_t)json_integer_value(json_object_get(rank, "rank")) == i);
		assert((size_t)json_integer_value(json_object_get(rank, "node")) < nodes);
		assert(json_array_size(json_object_get(rank, "argv")) > 0);
	}
	autojson json_t *slice = plan_slice(plan, nodes - 1);
	assert(json_array_size(json_object_get(slice, "ranks")) == size / nodes);
	autofree char *text = json_dumps(slice, 0);
	autojson json_t *again = json_loads(text, 0, NULL);
	assert(again);
}

// What is a job gives a plan or an error that says something; the plan is whole.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error err = {0};
	char *sets[MAX_SETS];
	autofree char *text = mem_alloc(size + 1);
	memcpy(text, data, size);
	size_t nsets = take_sets(text, sets);
	struct job *job = job_parse(text, size, "job.yaml", (const char *const *)sets, nsets, &err);
	if (!job) {
		check_error(&err);
	} else if (is_small(job)) {
		autojson json_t *plan = plan_make(job, NULL, "/home/user", &err);
		if (plan)
			check_plan(plan);
		else
			check_error(&err);
	}
	job_free(job);
	for (size_t i = 0; i < nsets; i++)
		free(sets[i]);
	return 0;
}
