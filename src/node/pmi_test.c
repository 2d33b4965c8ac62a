#include "base/mem.h"
#include "base/str.h"
#include "node/pmi.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { RANKS = 4 };

// One node as a test sees it: what was answered to each rank, and the last fence.
struct node {
	struct pmi *pmi;
	struct str said[RANKS];
	json_t *puts;
	int fences, aborted;
	bool at_once; // the fence comes back before pmi_input returns
};

static void on_reply(size_t local, const char *lines, size_t len, void *data)
{
	struct node *node = data;
	str_add(&node->said[local], lines, len);
}

static void on_fence(const json_t *puts, void *data)
{
	struct node *node = data;
	node->fences++;
	json_decref(node->puts);
	node->puts = json_deep_copy(puts);
	autojson json_t *all = mem_json("[O]", node->puts);
	if (node->at_once)
		pmi_fence_done(node->pmi, all);
}

static void on_abort(size_t local, int code, void *data)
{
	((struct node *)data)->aborted = code;
}

static void start(struct node *node, size_t size, size_t nlocal, const size_t *hosts)
{
	*node = (struct node){0};
	node->pmi = pmi_new(&(struct pmi_options){
		.name = "run-1",
		.size = size,
		.nlocal = nlocal,
		.hosts = hosts,
		.reply = on_reply,
		.fence = on_fence,
		.abort = on_abort,
		.data = node,
	});
}

static void stop(struct node *node)
{
	pmi_free(node->pmi);
	json_decref(node->puts);
	for (int i = 0; i < RANKS; i++)
		str_fini(&node->said[i]);
}

static void say(struct node *node, size_t local, const char *line)
{
	pmi_input(node->pmi, local, line, strlen(line));
	pmi_input(node->pmi, local, "\n", 1);
}

// What rank local was told since the last look.
static void expect(struct node *node, size_t local, const char *text)
{
	autofree char *said = str_steal(&node->said[local]);
	assert_string_equal(said, text);
}

static void every_command_is_answered(void **state)
{
	struct node node;
	start(&node, 2, 1, (size_t[]){0, 0});
	say(&node, 0, "cmd=init pmi_version=1 pmi_subversion=1");
	expect(&node, 0, "cmd=response_to_init pmi_version=1 pmi_subversion=1 rc=0\n");
	say(&node, 0, "cmd=get_maxes");
	expect(&node, 0, "cmd=maxes kvsname_max=64 keylen_max=64 vallen_max=768 rc=0\n");
	say(&node, 0, "cmd=get_appnum");
	expect(&node, 0, "cmd=appnum appnum=0 rc=0\n");
	say(&node, 0, "cmd=get_universe_size");
	expect(&node, 0, "cmd=universe_size size=2 rc=0\n");
	say(&node, 0, "cmd=get_my_kvsname");
	expect(&node, 0, "cmd=my_kvsname kvsname=run-1 rc=0\n");
	say(&node, 0, "cmd=put kvsname=run-1 key=k value=a=b");
	expect(&node, 0, "cmd=put_result rc=0 msg=success\n");
	say(&node, 0, "cmd=get kvsname=run-1 key=k");
	expect(&node, 0, "cmd=get_result rc=0 msg=success value=a=b\n");
	say(&node, 0, "cmd=get kvsname=run-1 key=none");
	expect(&node, 0, "cmd=get_result rc=-1 msg=key_not_found value=unknown\n");
	say(&node, 0, "cmd=finalize");
	expect(&node, 0, "cmd=finalize_ack rc=0\n");
	assert_int_equal(node.aborted, 0);
	say(&node, 0, "cmd=abort exitcode=7");
	expect(&node, 0, "");
	assert_int_equal(node.aborted, 7);
	stop(&node);
}

static void what_is_wrong_is_refused(void **state)
{
	struct node node;
	start(&node, 1, 1, NULL);
	const char *const wrong[][2] = {
		{"cmd=init pmi_version=2 pmi_subversion=0",
			"cmd=response_to_init rc=-1 msg=only_pmi_version_1_is_spoken_here\n"},
		{"cmd=init", "cmd=response_to_init rc=-1 msg=only_pmi_version_1_is_spoken_here\n"},
		{"", "cmd=error rc=-1 msg=no_command\n"},
		{"hello", "cmd=error rc=-1 msg=no_command\n"},
		{"kvsname=run-1 cmd=get_maxes", "cmd=error rc=-1 msg=no_command\n"},
		{"cmd=", "cmd=error rc=-1 msg=unknown_command\n"},
		{"cmd=fly", "cmd=error rc=-1 msg=unknown_command\n"},
		{"cmd=lookup_name service=x", "cmd=lookup_result rc=-1 msg=not_offered_here\n"},
		{"cmd=put kvsname=run-2 key=k value=v", "cmd=put_result rc=-1 msg=unknown_kvsname\n"},
		{"cmd=put key=k value=v", "cmd=put_result rc=-1 msg=unknown_kvsname\n"},
		{"cmd=put kvsname=run-1 value=v", "cmd=put_result rc=-1 msg=no_key\n"},
		{"cmd=put kvsname=run-1 key= value=v", "cmd=put_result rc=-1 msg=no_key\n"},
		{"cmd=put kvsname=run-1 key=k", "cmd=put_result rc=-1 msg=no_value\n"},
		{"cmd=get kvsname=run-1", "cmd=get_result rc=-1 msg=no_key\n"},
		{"cmd=get kvsname=run-1 key=PMI_process_mapping",
			"cmd=get_result rc=-1 msg=key_not_found value=unknown\n"},
		{"cmd=get kvsname=run-1 key=\xff", "cmd=error rc=-1 msg=bytes_that_are_no_text\n"},
	};
	for (size_t i = 0; i < countof(wrong); i++) {
		say(&node, 0, wrong[i][0]);
		expect(&node, 0, wrong[i][1]);
	}
	pmi_input(node.pmi, 0, "cmd=get_maxes\0\n", 15);
	expect(&node, 0, "cmd=error rc=-1 msg=bytes_that_are_no_text\n");
	say(&node, 0, "cmd=put kvsname=run-1 key=k value=v");
	str_fini(&node.said[0]);
	say(&node, 0, "cmd=put kvsname=run-1 key=k value=w");
	expect(&node, 0, "cmd=put_result rc=-1 msg=duplicate_key\n");
	say(&node, 0, "cmd=get kvsname=run-1 key=k");
	expect(&node, 0, "cmd=get_result rc=0 msg=success value=v\n");
	stop(&node);
}

static void lengths_are_bounded(void **state)
{
	struct node node;
	start(&node, 1, 1, NULL);
	autofree char *big = mem_alloc(10001);
	memset(big, 'x', 10000);
	autofree char *value = mem_printf("cmd=put kvsname=run-1 key=a value=%.768s", big);
	say(&node, 0, value);
	expect(&node, 0, "cmd=put_result rc=0 msg=success\n");
	say(&node, 0, "cmd=get kvsname=run-1 key=a");
	assert_int_equal(node.said[0].len, strlen("cmd=get_result rc=0 msg=success value=\n") + 768);
	str_fini(&node.said[0]);
	autofree char *more = mem_printf("cmd=put kvsname=run-1 key=b value=%.769s", big);
	say(&node, 0, more);
	expect(&node, 0, "cmd=put_result rc=-1 msg=value_too_long\n");
	autofree char *key = mem_printf("cmd=put kvsname=run-1 key=%.64s value=v", big);
	say(&node, 0, key);
	expect(&node, 0, "cmd=put_result rc=-1 msg=key_too_long\n");
	say(&node, 0, big);
	expect(&node, 0, "cmd=error rc=-1 msg=line_too_long\n");
	say(&node, 0, "cmd=get_appnum"); // and it goes on as if nothing had been
	expect(&node, 0, "cmd=appnum appnum=0 rc=0\n");
	stop(&node);
}

static void lines_may_come_in_pieces(void **state)
{
	struct node node;
	start(&node, 1, 1, NULL);
	const char *text = "cmd=get_appnum\ncmd=get_universe_size\r\n";
	for (size_t i = 0; text[i]; i++)
		pmi_input(node.pmi, 0, text + i, 1);
	expect(&node, 0, "cmd=appnum appnum=0 rc=0\ncmd=universe_size size=1 rc=0\n");
	pmi_input(node.pmi, 0, text, strlen(text));
	expect(&node, 0, "cmd=appnum appnum=0 rc=0\ncmd=universe_size size=1 rc=0\n");
	stop(&node);
}

static void a_spawn_is_refused_once(void **state)
{
	struct node node;
	start(&node, 1, 1, NULL);
	say(&node, 0, "mcmd=spawn");
	say(&node, 0, "nprocs=2");
	say(&node, 0, "cmd=get_appnum");
	expect(&node, 0, "");
	say(&node, 0, "endcmd");
	expect(&node, 0, "cmd=spawn_result rc=-1 msg=not_offered_here\n");
	say(&node, 0, "cmd=get_appnum");
	expect(&node, 0, "cmd=appnum appnum=0 rc=0\n");
	stop(&node);
}

static void a_barrier_waits_for_all_ranks_and_the_fence(void **state)
{
	struct node node;
	start(&node, 4, 2, NULL);
	say(&node, 0, "cmd=put kvsname=run-1 key=a value=1");
	say(&node, 1, "cmd=put kvsname=run-1 key=b value=2");
	say(&node, 0, "cmd=barrier_in");
	assert_int_equal(node.fences, 0);
	say(&node, 0, "cmd=barrier_in");
	expect(&node, 0, "cmd=put_result rc=0 msg=success\ncmd=barrier_out rc=-1 msg=already_in_the_barrier\n");
	assert_int_equal(node.fences, 0);
	say(&node, 1, "cmd=barrier_in");
	assert_int_equal(node.fences, 1);
	autojson json_t *mine = mem_json("{s:s, s:s}", "a", "1", "b", "2");
	assert_true(json_equal(node.puts, mine));
	expect(&node, 0, "");
	autojson json_t *all = mem_json("[O, {s:s, s:i, s:s}, i, n]", mine, "c", "3", "bad", 4, "blank", "x y", 5);
	pmi_fence_done(node.pmi, all);
	expect(&node, 0, "cmd=barrier_out rc=0\n");
	expect(&node, 1, "cmd=put_result rc=0 msg=success\ncmd=barrier_out rc=0\n");
	say(&node, 0, "cmd=get kvsname=run-1 key=c");
	expect(&node, 0, "cmd=get_result rc=0 msg=success value=3\n");
	say(&node, 0, "cmd=get kvsname=run-1 key=bad");
	expect(&node, 0, "cmd=get_result rc=-1 msg=key_not_found value=unknown\n");
	say(&node, 0, "cmd=get kvsname=run-1 key=blank");
	expect(&node, 0, "cmd=get_result rc=-1 msg=key_not_found value=unknown\n");
	pmi_fence_done(node.pmi, all); // nobody waits
	expect(&node, 0, "");
	say(&node, 1, "cmd=barrier_in");
	say(&node, 0, "cmd=barrier_in");
	assert_int_equal(node.fences, 2);
	assert_int_equal(json_object_size(node.puts), 0);
	stop(&node);
}

static void a_fence_may_end_at_once(void **state)
{
	struct node node;
	start(&node, 1, 1, NULL);
	node.at_once = true;
	say(&node, 0, "cmd=barrier_in");
	say(&node, 0, "cmd=barrier_in");
	expect(&node, 0, "cmd=barrier_out rc=0\ncmd=barrier_out rc=0\n");
	assert_int_equal(node.fences, 2);
	stop(&node);
}

static void expect_mapping(size_t size, const size_t *hosts, const char *mapping)
{
	struct node node;
	start(&node, size, 1, hosts);
	say(&node, 0, "cmd=get kvsname=run-1 key=PMI_process_mapping");
	autofree char *line = mapping ? mem_printf("cmd=get_result rc=0 msg=success value=%s\n", mapping)
				      : mem_strdup("cmd=get_result rc=-1 msg=key_not_found value=unknown\n");
	expect(&node, 0, line);
	stop(&node);
}

static void machines_are_mapped(void **state)
{
	expect_mapping(1, (size_t[]){0}, "(vector,(0,1,1))");
	expect_mapping(4, (size_t[]){0, 0, 0, 0}, "(vector,(0,1,4))");
	expect_mapping(4, (size_t[]){0, 0, 1, 1}, "(vector,(0,2,2))");
	expect_mapping(4, (size_t[]){7, 7, 3, 3}, "(vector,(0,2,2))");
	expect_mapping(4, (size_t[]){0, 1, 2, 3}, "(vector,(0,4,1))");
	expect_mapping(5, (size_t[]){0, 0, 1, 1, 1}, "(vector,(0,1,2),(1,1,3))");
	expect_mapping(5, (size_t[]){0, 0, 1, 1, 2}, "(vector,(0,2,2),(2,1,1))");
	expect_mapping(4, (size_t[]){0, 1, 0, 1}, "(vector,(0,2,1),(0,2,1))");
	expect_mapping(4, (size_t[]){0, 1, 1, 0}, "(vector,(0,1,1),(1,1,2),(0,1,1))");
	size_t many[2000];
	for (size_t i = 0; i < countof(many); i++)
		many[i] = i / 2 * 7 % 1999; // (0,1000,2) after renumbering
	expect_mapping(countof(many), many, "(vector,(0,1000,2))");
	for (size_t i = 0; i < countof(many); i++)
		many[i] = i % 3 == 0 ? 0 : i % 7;
	expect_mapping(countof(many), many, NULL); // too long for a value
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_command_is_answered),
		cmocka_unit_test(what_is_wrong_is_refused),
		cmocka_unit_test(lengths_are_bounded),
		cmocka_unit_test(lines_may_come_in_pieces),
		cmocka_unit_test(a_spawn_is_refused_once),
		cmocka_unit_test(a_barrier_waits_for_all_ranks_and_the_fence),
		cmocka_unit_test(a_fence_may_end_at_once),
		cmocka_unit_test(machines_are_mapped),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
