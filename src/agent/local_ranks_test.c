#include "agent/container.h"
#include "agent/local_ranks.h"
#include "agent/mpirun.h"
#include "agent/setup.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "fakes/agent.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char two[] = "name: t\ncluster: {nodes: 2}\nrun: {command: 'train {rank}', procs_per_node: 2}\n";
static const char mpich[] = "name: t\ncluster: {nodes: 2}\n"
			    "run: {command: [/bin/true], procs_per_node: 2, launch: mpi, mpi: mpich}\n";

// --- what the ranks stand on: a container, Open MPI's launcher, mounts ------------------

static struct {
	pid_t inside; // a rank's process in the container
	int (*start)(struct node *node, size_t rank, const json_t *env, struct error *err);
	size_t ended, stopped, freed; // Open MPI's launcher
	int status;                   // that it was told last
	const char *why;              // it cannot begin
	size_t unblocks;              // how often there is something to give up
} around;

json_t *container_enter(const struct node *node, const json_t *argv, const json_t *env, int *in, struct error *err)
{
	*in = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return mem_json("[s, O]", "enter", env);
}

pid_t container_find(const struct node *node, size_t rank)
{
	return around.inside;
}

struct mpirun *mpirun_start(struct node *node,
	int (*start)(struct node *node, size_t rank, const json_t *env, struct error *err), struct error *err)
{
	around.start = start;
	if (!around.why)
		return (struct mpirun *)&around;
	error_set(err, ERROR_SYSTEM, "%s", around.why);
	return NULL;
}

void mpirun_ended(struct mpirun *mpirun, size_t rank, int status)
{
	around.ended++;
	around.status = status;
}

void mpirun_stop(struct mpirun *mpirun)
{
	around.stopped += mpirun != NULL;
}

void mpirun_free(struct mpirun *mpirun)
{
	around.freed += mpirun != NULL;
}

bool setup_unblock(const struct node *node)
{
	return around.unblocks > 0 && around.unblocks--;
}

// --- the ranks of a test -------------------------------------------------------------------

static size_t ends; // how often a stop has come to its end

static void on_end(struct node *node)
{
	ends++;
}

static int set_up(void **state)
{
	memset(&around, 0, sizeof around);
	ends = 0;
	return fake_node_set_up(state);
}

static int tear_down(void **state)
{
	local_ranks_free(*state);
	return fake_node_tear_down(state);
}

static void start(struct node *node, const char *job, size_t id)
{
	fake_node_launch(node, job, id);
	if (!node->ports)
		node->ports = mem_json("[i, i, i, i]", 9000, 9001, 9002, 9003);
	if (!node->machines) {
		node->size = 4;
		node->machines = mem_alloc(node->size * sizeof *node->machines);
		memcpy(node->machines, (size_t[]){0, 0, 1, 1}, node->size * sizeof *node->machines);
	}
	local_ranks_start(node);
}

static void check_env(size_t k, const char *name, const char *value)
{
	const char *found = fake_rank_env(k, name);
	assert_string_equal(found ? found : "(not set)", value);
}

// The last rank that ended. why: "" for none.
static void check_exit(size_t number, int status, const char *why)
{
	const json_t *event = fake_event("exit");
	assert_int_equal(json_int(event, "rank"), number);
	assert_int_equal(json_int(event, "status"), status);
	assert_string_equal(json_text_or(event, "why", ""), why);
}

// --- start ----------------------------------------------------------------------------------

static void test_starts(void **state)
{
	struct node *node = *state;
	node->cgroups = "/sys/fs/cgroup/t/cgroup.procs";
	start(node, two, 1);
	node->cgroups = NULL;
	assert_int_equal(fake.nranks, 2);
	const struct rank_options *options = &fake.ranks[1].options;
	assert_string_equal(json_string_value(json_array_get(options->argv, 2)), "train 3");
	assert_string_equal(options->dir, node->out_dir);
	assert_string_equal(options->cgroups, "/sys/fs/cgroup/t/cgroup.procs");
	assert_true(options->metrics && options->pmi == -1 && options->in == -1);
	check_env(0, "MUSTER_RANK", "2");
	check_env(1, "MUSTER_RANK", "3");
	check_env(1, "MUSTER_LOCAL_RANK", "1");
	check_env(1, "MUSTER_RUN", "run-1");
	check_env(1, "MUSTER_HOSTS", "10.0.0.0,10.0.0.1");
	check_env(1, "MUSTER_DATA", node->data_dir);
	assert_null(fake_rank_env(1, "MASTER_ADDR"));
	assert_null(fake_rank_env(1, "PMI_RANK"));
	assert_int_equal(fake_count_events("start"), 2);
	const json_t *event = fake_event("start");
	assert_int_equal(json_int(event, "rank"), 3);
	assert_int_equal(json_int(event, "node"), 1);
	assert_int_equal(json_int(event, "attempt"), 1);
	assert_int_equal(json_int(event, "pid"), FAKE_RANK_PID + 1);
	assert_true(json_equal(json_object_get(event, "argv"), options->argv));
}

static void test_torch(void **state)
{
	struct node *node = *state;
	start(node, "name: t\ncluster: {nodes: 2}\nrun: {command: a, procs_per_node: 2, launch: torch}\n", 1);
	check_env(1, "MASTER_ADDR", "10.0.0.0");
	check_env(1, "MASTER_PORT", "9000");
	check_env(1, "RANK", "3");
	check_env(1, "LOCAL_RANK", "1");
	check_env(1, "WORLD_SIZE", "4");
	check_env(1, "NODE_RANK", "1");
}

static void test_parameter_servers(void **state)
{
	struct node *node = *state;
	start(node,
		"name: t\ncluster: {roles: {ps: {nodes: 1, command: serve}, worker: {nodes: 2, command: work}}}\n"
		"run: {launch: ps}\n",
		2);
	assert_int_equal(fake.nranks, 1);
	assert_string_equal(json_string_value(json_array_get(fake.ranks[0].options.argv, 2)), "work");
	check_env(0, "PS_HOSTS", "10.0.0.0:9000");
	check_env(0, "WORKER_HOSTS", "10.0.0.1:9001,10.0.0.2:9002");
	check_env(0, "JOB_NAME", "worker");
	check_env(0, "TASK_INDEX", "1");
	assert_non_null(strstr(fake_rank_env(0, "TF_CONFIG"), "\"ps\":[\"10.0.0.0:9000\"]"));
}

static void test_in_a_container(void **state)
{
	struct node *node = *state;
	node->container = (struct container *)&around;
	start(node, two, 0);
	const struct rank_options *options = &fake.ranks[1].options;
	assert_string_equal(json_string_value(json_array_get(options->argv, 0)), "enter");
	assert_string_equal(json_text(json_array_get(options->argv, 1), "MUSTER_RANK"), "1");
	assert_int_equal(json_object_size(options->env), 0); // it does not concern what stands for the rank here
	assert_true(options->in >= 0);
	assert_string_equal( // people see their own command
		json_string_value(json_array_get(json_object_get(fake_event("start"), "argv"), 2)), "train 1");
	around.inside = getpid();
	local_ranks_sample(node);
	local_ranks_sample(node);
	assert_non_null(fake_event("sample"));
}

static void test_cannot_be_started(void **state)
{
	struct node *node = *state;
	fake.rank_error = "no more processes";
	start(node, two, 1);
	assert_int_equal(fake_count_events("fail"), 1); // of two: the first one counts
	assert_string_equal(fake_failure(), "no more processes");
	assert_int_equal(json_int(fake_event("fail"), "rank"), 2);
	assert_int_equal(fake_count_events("start"), 0);
	assert_int_equal(fake_count_events("exit"), 2);
	check_exit(3, 127, "");
	local_ranks_stop(node, 5, "", on_end);
	assert_int_equal(ends, 1);
}

static void test_placeholder_cannot_be_filled(void **state)
{
	struct node *node = *state;
	node->ports = mem_json("[i]", 9000);
	start(node, "name: t\nrun: {command: 'train {port[1]} {port}', procs_per_node: 2}\n", 0);
	assert_string_equal(fake_failure(), "there is no port of rank 1");
	assert_int_equal(fake.nranks, 0);
}

static void test_no_room_for_output(void **state)
{
	struct node *node = *state;
	fake.broken = "disk full";
	start(node, two, 0);
	assert_string_equal(fake_failure(), "disk full");
	assert_int_equal(fake.nranks, 0);
	local_ranks_stop(node, 5, "", on_end);
	assert_int_equal(ends, 1);
}

// --- output and metrics -----------------------------------------------------------------------

static void test_output(void **state)
{
	struct node *node = *state;
	start(node, "name: t\nrun: {command: a, procs_per_node: 2}\nmetrics: [{name: loss, pattern: 'loss=(\\S+)'}]\n",
		0);
	assert_true(fake_rank_output(1, "loss=0.5\n"));
	assert_string_equal(fake_output("2"), "loss=0.5\n");
	assert_string_equal(fake_output("1"), "");
	assert_int_equal(json_int(fake_event("metric"), "rank"), 1);
	assert_true(fake_rank_metric(0, "{\"name\": \"acc\", \"value\": 1}"));
	assert_string_equal(json_text(fake_event("metric"), "name"), "acc");
	assert_int_equal(json_int(fake_event("metric"), "rank"), 0);
}

static void test_output_waits_for_room(void **state)
{
	struct node *node = *state;
	start(node, two, 0);
	fake.full[UPLINK_RANKS + 1] = true;
	assert_true(fake_rank_output(0, "a"));
	assert_false(fake_rank_output(1, "b"));
	local_ranks_room(node);
	assert_int_equal(fake.ranks[0].resumed, 1);
	assert_int_equal(fake.ranks[1].resumed, 0);
	fake.full[UPLINK_RANKS + 1] = false;
	fake.full[UPLINK_EVENTS] = true; // what it prints may be metrics
	assert_false(fake_rank_output(1, "c"));
	assert_false(fake_rank_metric(1, "{}"));
	local_ranks_room(node);
	assert_int_equal(fake.ranks[1].resumed, 0);
	fake.full[UPLINK_EVENTS] = false;
	fake_rank_exit(0, 0, 0);
	local_ranks_room(node);
	assert_int_equal(fake.ranks[0].resumed, 1); // it has ended
	assert_int_equal(fake.ranks[1].resumed, 1);
}

// --- the end of a rank --------------------------------------------------------------------------

static void test_rank_fails(void **state)
{
	struct node *node = *state;
	start(node, two, 1);
	fake_rank_output(1, "one\ntwo\nno end of line");
	fake_rank_exit(1, 7, 0);
	assert_int_equal(fake_count_events("exit"), 1);
	check_exit(3, 7, "");
	const json_t *event = fake_event("exit"), *last = json_object_get(event, "last");
	assert_int_equal(json_array_size(last), 3);
	assert_string_equal(json_string_value(json_array_get(last, 2)), "no end of line");
	assert_true(json_is_null(json_object_get(event, "signal")));
	assert_int_equal(json_int(event, "attempt"), 1);
	assert_null(fake_failure());             // that is for the controller to decide
	assert_true(fake_rank_signalled(0, "")); // and so is what becomes of the others
	fake_rank_exit(0, -1, SIGSEGV);
	event = fake_event("exit");
	assert_true(json_is_null(json_object_get(event, "status")));
	assert_int_equal(json_int(event, "signal"), SIGSEGV);
	assert_int_equal(ends, 0); // nobody has asked for it
}

static void set_oom_kills(const struct node *node, int count)
{
	autofree char *path = fs_join(node->dir, "memory.events"), *text = mem_printf("oom_kill %d\n", count);
	assert_int_equal(fs_write(path, text, strlen(text), 0600, NULL), 0);
}

static void test_out_of_memory(void **state)
{
	struct node *node = *state;
	autofree char *procs = fs_join(node->dir, "cgroup.procs");
	node->limited = procs;
	set_oom_kills(node, 3);
	start(node, "name: t\nrun: {command: a, procs_per_node: 4}\n", 0);
	fake_rank_exit(0, -1, SIGKILL);
	assert_string_equal(json_text_or(fake_event("exit"), "why", ""), ""); // those were before its time
	set_oom_kills(node, 4);
	fake_rank_exit(1, 1, 0);
	check_exit(1, 1, ""); // perhaps: so there is a warning
	assert_non_null(strstr(json_text_or(fake_event("warn"), "why", ""), "before rank 1 failed"));
	fake_rank_exit(2, -1, SIGKILL);
	assert_string_equal(json_text_or(fake_event("exit"), "why", ""), "out of memory");
	fake_rank_exit(3, 137, 0);
	check_exit(3, 137, ""); // one kill explains one rank
	assert_int_equal(fake_count_events("warn"), 1);
}

static void test_out_of_memory_when_told_to_stop(void **state)
{
	struct node *node = *state;
	autofree char *procs = fs_join(node->dir, "cgroup.procs");
	node->limited = procs;
	start(node, two, 0);
	local_ranks_stop(node, 0, "timeout", on_end);
	set_oom_kills(node, 1);
	fake_rank_exit(0, -1, SIGKILL);
	assert_string_equal(json_text_or(fake_event("exit"), "why", ""), "timeout");
	fake_rank_exit(1, 1, 0);
	assert_int_equal(fake_count_events("warn"), 0);
}

// --- stop ---------------------------------------------------------------------------------------

static void test_stop(void **state)
{
	struct node *node = *state;
	start(node, two, 0);
	struct loop_timer *grace = fake_timer_newest();
	local_ranks_stop(node, 5, "rank 3 on node 1 exited with status 7", on_end);
	assert_true(fake_rank_signalled(0, "15") && fake_rank_signalled(1, "15"));
	assert_true(fake_timer_seconds(grace) == 5);
	fake_rank_exit(0, 0, 0);
	check_exit(0, 0, "told to stop"); // also a server of a role that does not decide, which nothing was wrong with
	assert_int_equal(ends, 0);
	fake_timer_fire(grace);
	assert_true(fake_rank_signalled(0, "15"));
	assert_true(fake_rank_signalled(1, "15 9"));
	fake_rank_exit(1, -1, SIGKILL);
	assert_string_equal(json_text(fake_event("exit"), "why"), "told to stop");
	assert_int_equal(ends, 1);
	assert_true(fake_timer_seconds(grace) < 0);
}

static void test_stop_without_grace(void **state)
{
	struct node *node = *state;
	start(node, two, 0);
	local_ranks_stop(node, 0, "", on_end);
	assert_true(fake_rank_signalled(0, "9") && fake_rank_signalled(1, "9"));
}

static void test_why_they_were_stopped(void **state)
{
	struct node *node = *state;
	static const char *const whys[] = {"timeout", "cancelled"};
	for (size_t i = 0; i < countof(whys); i++) {
		start(node, two, 0);
		fake_rank_exit(2 * i, 3, 0);
		check_exit(0, 3, ""); // before that
		local_ranks_stop(node, 5, whys[i], on_end);
		fake_rank_exit(2 * i + 1, 3, 0);
		check_exit(1, 3, whys[i]);
	}
}

static void test_nothing_to_stop(void **state)
{
	struct node *node = *state;
	local_ranks_stop(node, 5, "", on_end); // before the first launch
	assert_int_equal(ends, 1);
	start(node, two, 0);
	fake_rank_exit(0, 0, 0);
	fake_rank_exit(1, 0, 0);
	assert_int_equal(ends, 1);
	local_ranks_stop(node, 5, "", on_end);
	assert_int_equal(ends, 2);
	assert_true(fake_timer_seconds(fake_timer_newest()) < 0);
}

// What the first stop was for is no more: there will be no other attempt.
static void on_first_end(struct node *node)
{
	fail();
}

static void test_stop_twice(void **state)
{
	struct node *node = *state;
	start(node, two, 0);
	local_ranks_stop(node, 5, "", on_first_end);
	local_ranks_stop(node, 0, "cancelled", on_end);
	assert_true(fake_rank_signalled(0, "15 9"));
	fake_rank_exit(0, -1, SIGKILL);
	assert_string_equal(json_text(fake_event("exit"), "why"), "told to stop"); // it had been by then
	fake_rank_exit(1, -1, SIGKILL);
	assert_int_equal(ends, 1);
}

static void test_killed_and_still_there(void **state)
{
	struct node *node = *state;
	around.unblocks = 1;
	start(node, two, 0);
	struct loop_timer *grace = fake_timer_newest();
	local_ranks_stop(node, 0, "", on_end);
	assert_true(fake_timer_seconds(grace) > 5); // it may have much to write back
	fake_timer_fire(grace);                     // its mounts are given up
	assert_int_equal(around.unblocks, 0);
	assert_true(fake_timer_seconds(grace) > 0);
	fake_timer_fire(grace);
	assert_true(fake_timer_seconds(grace) < 0); // nothing is mounted any more
	assert_true(fake_rank_signalled(0, "9"));
	assert_int_equal(ends, 0);
}

static void test_another_attempt(void **state)
{
	struct node *node = *state;
	start(node, two, 0);
	fake_rank_output(1, "of the first attempt\n");
	local_ranks_stop(node, 5, "rank 1 failed", on_end);
	fake_rank_exit(0, 0, 0);
	fake_rank_exit(1, 0, 0);
	start(node, two, 0);
	assert_true(fake.ranks[0].freed && fake.ranks[1].freed);
	assert_int_equal(json_int(fake_event("start"), "attempt"), 2);
	fake_rank_exit(3, 0, 0);
	check_exit(1, 0, ""); // nobody has told this one to stop
	assert_int_equal(json_int(fake_event("exit"), "attempt"), 2);
	assert_int_equal(json_array_size(json_object_get(fake_event("exit"), "last")), 0);
	assert_int_equal(ends, 1);
}

// --- MPI ------------------------------------------------------------------------------------------

static void pmi_write(size_t k, const char *text)
{
	assert_int_equal(write(fake.ranks[k].options.pmi, text, strlen(text)), strlen(text));
	fake_watches_read();
}

// What the rank can read there is text.
static void check_pmi_reply(size_t k, const char *text)
{
	char buf[4096] = {0};
	fcntl(fake.ranks[k].options.pmi, F_SETFL, O_NONBLOCK);
	ssize_t n = read(fake.ranks[k].options.pmi, buf, sizeof buf - 1);
	assert_string_equal(n > 0 ? buf : "", text);
}

static void start_mpich(struct node *node)
{
	node->mpi = MPI_FAMILY_MPICH;
	start(node, mpich, 1);
	for (size_t k = 0; k < 2; k++) {
		pmi_write(k, "cmd=init pmi_version=1 pmi_subversion=1\n");
		check_pmi_reply(k, "cmd=response_to_init pmi_version=1 pmi_subversion=1 rc=0\n");
	}
}

static void test_mpich(void **state)
{
	struct node *node = *state;
	start_mpich(node);
	check_env(1, "PMI_RANK", "3");
	check_env(1, "PMI_SIZE", "4");
	pmi_write(0, "cmd=put kvsname=run-1 key=k value=v\n");
	check_pmi_reply(0, "cmd=put_result rc=0 msg=success\n");
	pmi_write(0, "cmd=barrier_in\n");
	assert_int_equal(fake_count_fences("pmi-1-1"), 0); // the other one has not come
	pmi_write(1, "cmd=barrier_in\n");
	assert_string_equal(json_text(fake_fence_data("pmi-1-1"), "k"), "v");
	check_pmi_reply(0, "");
	fake_fence_answer(node, "pmi-1-1", mem_json("[{s:s}, {s:s}]", "other", "w", "k", "v"));
	check_pmi_reply(0, "cmd=barrier_out rc=0\n");
	check_pmi_reply(1, "cmd=barrier_out rc=0\n");
	pmi_write(1, "cmd=get kvsname=run-1 key=other\n");
	check_pmi_reply(1, "cmd=get_result rc=0 msg=success value=w\n");
	pmi_write(1, "cmd=get kvsname=run-1 key=PMI_process_mapping\n"); // two machines
	check_pmi_reply(1, "cmd=get_result rc=0 msg=success value=(vector,(0,2,2))\n");
	pmi_write(0, "cmd=barrier_in\n");
	pmi_write(1, "cmd=barrier_in\n");
	assert_int_equal(fake_count_fences("pmi-1-2"), 1);
	assert_null(fake_failure());
}

static void test_mpi_abort(void **state)
{
	struct node *node = *state;
	start_mpich(node);
	const char *text = "cmd=abort exitcode=5\n";
	assert_int_equal(write(fake.ranks[1].options.pmi, text, strlen(text)), strlen(text));
	fake_rank_exit(1, 5, 0); // its last word is read all the same, and before that is said
	assert_string_equal(fake_failure(), "the program called MPI_Abort with code 5");
	assert_int_equal(json_int(fake_event("fail"), "rank"), 3);
	assert_true(json_equal(json_array_get(fake.events, json_array_size(fake.events) - 1), fake_event("exit")));
}

static void test_no_program_of_mpi(void **state)
{
	struct node *node = *state;
	node->mpi = MPI_FAMILY_MPICH;
	start(node, mpich, 1);
	pmi_write(0, "cmd=init pmi_version=1 pmi_subversion=1\n");
	fake_rank_exit(0, 0, 0);
	assert_int_equal(fake_count_events("warn"), 0);
	fake_rank_exit(1, 0, 0);
	assert_int_equal(json_int(fake_event("warn"), "rank"), 3);
}

static int start_for_open_mpi(struct node *node, size_t rank, struct error *err)
{
	autojson json_t *env = mem_json("{s:s}", "OMPI_PLACE", "here");
	return around.start(node, rank, env, err);
}

static void test_open_mpi(void **state)
{
	struct node *node = *state;
	struct error err = {0};
	node->mpi = MPI_FAMILY_OPENMPI;
	start(node, mpich, 1);
	assert_int_equal(fake.nranks, 0); // mpirun says when
	assert_int_equal(start_for_open_mpi(node, 3, &err), 0);
	check_env(0, "MUSTER_RANK", "3");
	check_env(0, "OMPI_PLACE", "here");
	assert_int_equal(start_for_open_mpi(node, 3, &err), -1);
	assert_int_equal(start_for_open_mpi(node, 1, &err), -1);
	assert_non_null(strstr(err.text, "rank 1 on node 1"));
	assert_int_equal(start_for_open_mpi(node, 4, &err), -1);
	assert_non_null(strstr(err.text, "rank 4 on node 1"));
	fake_rank_exit(0, -1, SIGSEGV);
	assert_int_equal(around.ended, 1);
	assert_int_equal(around.status, 128 + SIGSEGV);
	assert_int_equal(start_for_open_mpi(node, 2, &err), 0);
	local_ranks_stop(node, 5, "", on_end);
	assert_int_equal(around.stopped, 1);
	assert_int_equal(around.freed, 0); // the rank may still want to talk
	fake_rank_exit(1, 3, 0);
	assert_int_equal(around.status, 3);
	assert_int_equal(around.freed, 1);
	assert_int_equal(ends, 1);
}

static void test_open_mpi_is_stopped_early(void **state)
{
	struct node *node = *state;
	struct error err = {0};
	node->mpi = MPI_FAMILY_OPENMPI;
	start(node, mpich, 0);
	assert_int_equal(start_for_open_mpi(node, 0, &err), 0);
	local_ranks_stop(node, 5, "", on_end);
	assert_int_equal(start_for_open_mpi(node, 1, &err), -1);
	assert_int_equal(fake.nranks, 1);
}

static void test_open_mpi_cannot_begin(void **state)
{
	struct node *node = *state;
	node->mpi = MPI_FAMILY_OPENMPI;
	around.why = "no mpirun";
	start(node, mpich, 0);
	assert_string_equal(fake_failure(), "no mpirun");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_starts),
		TEST(test_torch),
		TEST(test_parameter_servers),
		TEST(test_in_a_container),
		TEST(test_cannot_be_started),
		TEST(test_placeholder_cannot_be_filled),
		TEST(test_no_room_for_output),
		TEST(test_output),
		TEST(test_output_waits_for_room),
		TEST(test_rank_fails),
		TEST(test_out_of_memory),
		TEST(test_out_of_memory_when_told_to_stop),
		TEST(test_stop),
		TEST(test_stop_without_grace),
		TEST(test_why_they_were_stopped),
		TEST(test_nothing_to_stop),
		TEST(test_stop_twice),
		TEST(test_killed_and_still_there),
		TEST(test_another_attempt),
		TEST(test_mpich),
		TEST(test_mpi_abort),
		TEST(test_no_program_of_mpi),
		TEST(test_open_mpi),
		TEST(test_open_mpi_is_stopped_early),
		TEST(test_open_mpi_cannot_begin),
	};
	return cmocka_run_group_tests_name("local_ranks", tests, NULL, NULL);
}
