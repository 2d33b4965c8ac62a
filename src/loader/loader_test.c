// The loader as a program, on what archives_gzip packs: the one that is built for the pods, named by MUSTER_LOADER.
#include "base/archives.h"
#include "base/crypto.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/proc.h"
#include "base/str.h"

#include <elf.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

struct place {
	char dir[32]; // current directory; parts below "parts"
	char sha256[CRYPTO_HEX];
	struct str gzip;
};

// An agent that prints its name and arguments. It is longer than any of the loader's buffers, and does not become
// small: only its end is read.
static int setup(void **state)
{
	struct place *p = mem_alloc(sizeof *p);
	strcpy(p->dir, "/tmp/loader-test-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	assert_int_equal(chdir(p->dir), 0);
	assert_int_equal(mkdir("parts", 0700), 0);
	struct str agent = {0};
	str_puts(&agent, "#!/bin/sh\necho \"$0:$#:$1:$2\"\nexit 7\n");
	for (int i = 0; i < 20000; i++) {
		autofree char *noise = crypto_random_hex(20);
		str_printf(&agent, "%s\n", noise);
	}
	crypto_sha256(agent.text, agent.len, p->sha256);
	assert_int_equal(archives_gzip(agent.text, agent.len, &p->gzip, NULL), 0);
	str_fini(&agent);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;
	assert_int_equal(chdir("/"), 0);
	assert_int_equal(fs_remove(p->dir, NULL), 0);
	str_fini(&p->gzip);
	free(p);
	return 0;
}

static void write_part(int i, const void *bytes, size_t len)
{
	autofree char *path = mem_printf("parts/%d", i);
	assert_int_equal(fs_write(path, bytes, len, 0444, NULL), 0);
}

static void write_parts(const struct place *p, size_t size)
{
	int i = 0;
	for (size_t at = 0; at < p->gzip.len; at += size)
		write_part(i++, p->gzip.text + at, p->gzip.len - at < size ? p->gzip.len - at : size);
}

// Starts the loader with "a b" and "" as the agent's arguments. What it writes is in "out".
static pid_t start(const char *sha256, const char *target)
{
	pid_t pid = fork();
	if (pid == 0) {
		char *argv[] = {"muster-loader", "parts", (char *)sha256, (char *)target, "a b", "", NULL};
		if (freopen("out", "w", stdout) && dup2(1, 2) == 2)
			execve(getenv("MUSTER_LOADER"), argv, (char *[]){NULL});
		_exit(99);
	}
	return pid;
}

static int wait_for(pid_t pid) // its exit status
{
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int load(const char *sha256, const char *target)
{
	return wait_for(start(sha256, target));
}

static void expect_error(const char *sha256, const char *target, const char *text)
{
	assert_int_equal(load(sha256, target), 1);
	autofree char *said = fs_read("out", 4096, NULL, NULL);
	if (!strstr(said, text) || !str_starts(said, "muster-loader: ") || !str_ends(said, "\n"))
		fail_msg("'%s' is not in '%s'", text, said);
	assert_false(fs_exists("agent"));
	assert_false(fs_exists("agent.new"));
}

static void test_start(void **state)
{
	struct place *p = *state;
	write_parts(p, 100000);
	assert_int_equal(fs_write("agent", "old", 3, 0400, NULL), 0); // of a container of before
	assert_int_equal(fs_write("agent.new", "half", 4, 0400, NULL), 0);
	umask(0777);
	int status = load(p->sha256, "./agent");
	umask(022);
	assert_int_equal(status, 7);
	autofree char *said = fs_read("out", 4096, NULL, NULL);
	assert_string_equal(said, "./agent:2:a b:\n");
	struct stat st;
	assert_int_equal(stat("agent", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
	char sum[CRYPTO_HEX];
	assert_int_equal(crypto_sha256_file("agent", sum, NULL), 0);
	assert_string_equal(sum, p->sha256);
	assert_false(fs_exists("agent.new"));
}

// A part that is a pipe holds it up; the request to end is the agent's, which takes none of it here.
static void test_told_to_end(void **state)
{
	struct place *p = *state;
	assert_int_equal(mkfifo("parts/0", 0600), 0);
	pid_t pid = start(p->sha256, "./agent");
	int fd = open("parts/0", O_WRONLY); // returns when the loader reads
	assert_true(fd >= 0);
	assert_int_equal(kill(pid, SIGTERM), 0);
	assert_int_equal(fs_write_fd(fd, p->gzip.text, p->gzip.len, NULL), 0);
	close(fd);
	assert_int_equal(wait_for(pid), 7);
}

static void test_one_byte_parts(void **state)
{
	struct place *p = *state;
	size_t rest = p->gzip.len - 300;
	write_part(0, p->gzip.text, rest);
	for (int i = 1; i <= 300; i++)
		write_part(i, p->gzip.text + rest + i - 1, 1);
	assert_int_equal(load(p->sha256, "./agent"), 7);
}

static void test_bad_parts(void **state)
{
	struct place *p = *state;
	expect_error(p->sha256, "agent", "cannot find the agent's first part 'parts/0'");
	write_parts(p, 100000);
	expect_error("0000", "agent", "the agent's parts are not those of the agent (SHA-256 ");
	write_part((int)(p->gzip.len / 100000 + 1), "more", 4);
	expect_error(p->sha256, "agent", "the agent's parts go on after the end of the agent");
	write_parts(p, 100001); // the one that is too much is still there, after a gap
	assert_int_equal(fs_remove("parts/3", NULL), 0);
	expect_error(
		p->sha256, "agent", "the agent's parts end before the end of the agent: `muster reap` removes them\n");
	write_part(0, "\x1f\x8b\x08\0nonsense nonsense", 20);
	expect_error(p->sha256, "agent", "the agent's parts are damaged");
	write_part(0, "", 0);
	expect_error(p->sha256, "agent", "the agent's parts are damaged");
	assert_int_equal(fs_remove("parts", NULL), 0);
	assert_int_equal(mkdir("parts", 0700), 0);
	write_part(0, "", 0);
	expect_error(
		p->sha256, "agent", "the agent's parts end before the end of the agent: `muster reap` removes them\n");
}

static void test_bad_target(void **state)
{
	struct place *p = *state;
	write_parts(p, 100000);
	expect_error(p->sha256, "none/agent", "cannot write 'none/agent.new': No such file or directory");
	assert_int_equal(fs_mkdirs("full/agent/in", 0700, NULL), 0);
	expect_error(p->sha256, "full/agent", "cannot write 'full/agent'");
	assert_false(fs_exists("full/agent.new"));
	char long_path[400];
	memset(long_path, 'x', sizeof long_path);
	long_path[sizeof long_path - 1] = 0;
	expect_error(p->sha256, long_path, "the path is too long");
}

// An agent of another architecture.
static void test_other_processor(void **state)
{
	Elf64_Ehdr head = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
		.e_type = ET_EXEC,
		.e_machine = EM_S390};
	struct place *p = *state;
	crypto_sha256(&head, sizeof head, p->sha256);
	str_fini(&p->gzip);
	p->gzip = (struct str){0};
	assert_int_equal(archives_gzip(&head, sizeof head, &p->gzip, NULL), 0);
	write_parts(p, 100000);
	assert_int_equal(load(p->sha256, "./agent"), 1);
	autofree char *said = fs_read("out", 4096, NULL, NULL);
	assert_string_equal(said, "muster-loader: cannot run './agent': it is for another processor\n");
}

// An exec that comes before the agent is there.
static void test_wait(void **state)
{
	pid_t pid = fork();
	if (pid == 0) {
		execl(getenv("MUSTER_LOADER"), "muster-loader", "wait", "./agent", "9", NULL);
		_exit(99);
	}
	assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
	assert_int_equal(fs_write("agent", "#!/bin/sh\nexit $1\n", 18, 0755, NULL), 0);
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WEXITSTATUS(status), 9);
}

static void test_no_arguments(void **state)
{
	autofree char *command = mem_printf("'%s' parts 2>out", getenv("MUSTER_LOADER"));
	assert_int_equal(WEXITSTATUS(system(command)), 1);
	autofree char *said = fs_read("out", 4096, NULL, NULL);
	assert_string_equal(said, "muster-loader: usage: muster-loader PARTS SHA256 TARGET [ARGUMENT...]\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_start, setup, teardown),
		cmocka_unit_test_setup_teardown(test_told_to_end, setup, teardown),
		cmocka_unit_test_setup_teardown(test_one_byte_parts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_parts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_target, setup, teardown),
		cmocka_unit_test_setup_teardown(test_other_processor, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wait, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_arguments, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
