#include "base/mem.h"
#include "base/str.h"
#include "job/inventory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void is_list(const char *file, const char *text, const char *group, const char *expected)
{
	struct error err = {0};
	autojson json_t *list = inventory_parse(text, strlen(text), file, group, &err);
	autofree char *got = list ? json_dumps(list, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
	assert_string_equal(got ? got : err.text, expected);
}

static const char ini[] = "# groups, children, variables, ranges, ranks\n"
			  "head ansible_host=10.0.0.1 node_rank=0\n"
			  "[gpu]\n"
			  "gpu[01:02]\tansible_port=2200   node_rank=2\t# the second's is given again below\n"
			  "gpu02 node_rank=1 note='two words'\n"
			  "; another comment\n"
			  "[workers:children]\ngpu\nheads\n"
			  "[heads]\nhead\n"
			  "[gpu:vars]\nansible_user = \"trainer\"\n"
			  "[all:vars]\nansible_user=me\nansible_ssh_private_key_file=~/.ssh/cluster\n"
			  "[other]\nb:2222\n";

static const char yaml[] = "all:\n"
			   "  vars: {ansible_user: me, list: [1, 2]}\n"
			   "  hosts:\n"
			   "    lone:\n"
			   "  children:\n"
			   "    workers:\n"
			   "      vars: {ansible_port: 2200}\n"
			   "      children:\n"
			   "        gpu:\n"
			   "          vars: {ansible_user: trainer}\n"
			   "          hosts:\n"
			   "            gpu[1:2]: {ansible_host: 10.0.0.9}\n"
			   "            gpu2: {ansible_user: root, ansible_host: 10.0.0.2}\n";

static void ini_files(void **state)
{
	is_list("hosts", ini, "workers",
		"[{\"host\":\"10.0.0.1\",\"key\":\"~/.ssh/cluster\",\"user\":\"me\"},"
		"{\"host\":\"gpu02\",\"key\":\"~/.ssh/cluster\",\"port\":2200,\"user\":\"trainer\"},"
		"{\"host\":\"gpu01\",\"key\":\"~/.ssh/cluster\",\"port\":2200,\"user\":\"trainer\"}]");
	is_list("hosts", ini, "other", "[{\"host\":\"b\",\"key\":\"~/.ssh/cluster\",\"port\":2222,\"user\":\"me\"}]");
	is_list("hosts", "a\nb ansible_ssh_user=x\n", NULL, "[{\"host\":\"a\"},{\"host\":\"b\",\"user\":\"x\"}]");
}

static void yaml_files(void **state)
{
	is_list("hosts.yml", yaml, "workers",
		"[{\"host\":\"10.0.0.9\",\"port\":2200,\"user\":\"trainer\"},{\"host\":\"10.0.0.2\",\"port\":2200,"
		"\"user\":\"root\"}]");
	is_list("hosts.yml", yaml, "all",
		"[{\"host\":\"lone\",\"user\":\"me\"},{\"host\":\"10.0.0.9\",\"port\":2200,\"user\":\"trainer\"},"
		"{\"host\":\"10.0.0.2\",\"port\":2200,\"user\":\"root\"}]");
}

static void errors_say_where(void **state)
{
	is_list("h", ini, "nobody", "h: found no group 'nobody'");
	is_list("h", "", NULL, "h: found no host, expected at least one");
	is_list("h", "a\n\nb ansible_port=22x\n", NULL, "h:3: expected a whole number in range, found '22x'");
	is_list("h", "a\nb word\n", NULL, "h:2: expected NAME=VALUE, found 'word'");
	is_list("h", "[x\n", NULL, "h:1: expected [GROUP], found '[x'");
	is_list("h", "[x:hosts]\n", NULL, "h:1: expected :children or :vars, found ':hosts'");
	is_list("h", "a ansible_host={{ip}}\n", NULL, "h:1: expected a value without a template, found '{{ip}}'");
	is_list("h", "a ansible_host=-oProxyCommand=x\n", NULL,
		"h:1: found the host '-oProxyCommand=x', expected a name or address of letters, digits and - . _ : %");
	is_list("h", "a ansible_password=x\n", NULL,
		"h:1: found 'ansible_password', which is not taken over: expected it in ssh's own configuration, as a "
		"key");
	is_list("h", "a node_rank=0\nb\n", NULL,
		"h: the host 'b' has no node_rank, expected one for every host or for none");
	is_list("h", "a node_rank=0\nb node_rank=0\n", NULL,
		"h: the hosts 'a' and 'b' have the node_rank 0, expected one each");
	is_list("h", "[a:children]\nb\n[b:children]\na\n", "a", "h: the group 'a' holds itself");
	is_list("h.yaml", "all: [1]\n", NULL, "h.yaml:1:6: found a list, expected a map");
	is_list("h.yaml", "all:\n  host: {a: }\n", NULL,
		"h.yaml:2:3: found 'host' in a group, expected hosts, children or vars");
	is_list("h.yaml", "all:\n  hosts: {\"n[2:1]\": }\n", NULL,
		"h.yaml:2: found the range '[2:1]', expected [FIRST-LAST], such as [0-15] or [01:16]");
}

enum { MANY = 10000 };

static json_t *parse_many(const char *file, const struct str *text)
{
	struct error err = {0};
	json_t *list = inventory_parse(text->text, text->len, file, "workers", &err);
	if (!list)
		fail_msg("%s", err.text);
	assert_int_equal(json_array_size(list), MANY);
	return list;
}

static void is_host(const json_t *list, size_t k, const char *host, const char *user, int port)
{
	const json_t *one = json_array_get(list, k);
	assert_string_equal(json_string_value(json_object_get(one, "host")), host);
	assert_string_equal(json_string_value(json_object_get(one, "user")), user);
	assert_int_equal(json_integer_value(json_object_get(one, "port")), port);
}

// Ten thousand hosts, in one group or in a thousand: what looks at all hosts for each host takes minutes.
static void ini_with_many_hosts(void **state)
{
	autostr struct str s = {0};
	str_puts(&s, "[all:vars]\nansible_user=me\n[workers:vars]\nansible_port=2200\n[gpu]\n");
	for (int i = 0; i < MANY; i++)
		str_printf(&s, "gpu%d ansible_host=h%d\n", i, i);
	for (int r = 0; r < 1000; r++)
		str_printf(&s, "[rack%d]\ngpu[%d:%d]\n[rack%d:vars]\nansible_user=u%d\n[racks:children]\nrack%d\n", r,
			10 * r, 10 * r + 9, r, r, r);
	str_puts(&s, "[workers:children]\ngpu\nracks\n");
	autojson json_t *list = parse_many("hosts", &s);
	for (size_t i = 0; i < MANY; i++) {
		autofree char *host = mem_printf("h%zu", i), *user = mem_printf("u%zu", i / 10);
		is_host(list, i, host, user, 2200);
	}
}

static void yaml_with_many_hosts(void **state)
{
	autostr struct str s = {0};
	str_puts(&s, "workers:\n  vars: {ansible_user: me}\n  hosts:\n");
	for (int i = 0; i < MANY; i++)
		str_printf(&s, "    gpu%d: {ansible_host: h%d, ansible_port: %d, rack: a, height: 1}\n", i, i, i + 1);
	autojson json_t *list = parse_many("hosts.yaml", &s);
	is_host(list, 0, "h0", "me", 1);
	is_host(list, MANY - 1, "h9999", "me", MANY);
}

static void limits(void **state)
{
	autostr struct str deep = {0}, wide = {0};
	for (int i = 0; i < 20000; i++)
		str_printf(&deep, "[g%d:children]\ng%d\n", i, i + 1);
	is_list("h", deep.text, NULL, "h: found more than 100 levels of groups from 'g100' down, expected fewer");
	for (int i = 0; i < 11; i++)
		str_printf(&wide, "h%d-[0:9999]\n", i);
	is_list("h", wide.text, NULL, "h:11: found more than 100000 hosts");
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(ini_files), cmocka_unit_test(yaml_files),
		cmocka_unit_test(errors_say_where), cmocka_unit_test(ini_with_many_hosts),
		cmocka_unit_test(yaml_with_many_hosts), cmocka_unit_test(limits)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
