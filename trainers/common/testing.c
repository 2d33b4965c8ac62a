#include "common/testing.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

void testing_dies(void (*f)(void *), void *arg, const char *words)
{
	int pipe_fd[2];
	assert_int_equal(pipe(pipe_fd), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		dup2(pipe_fd[1], 2);
		f(arg);
		_exit(0);
	}
	close(pipe_fd[1]);
	char text[4096] = "";
	size_t size = 0;
	for (ssize_t n; size < sizeof text - 1 && (n = read(pipe_fd[0], text + size, sizeof text - 1 - size)) > 0;)
		size += (size_t)n;
	close(pipe_fd[0]);
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 1 || !strstr(text, words))
		fail_msg("status 0x%x, expected exit 1; said '%s', expected '%s' in it", (unsigned)status, text, words);
}

char *testing_folder(void)
{
	const char *top = getenv("TMPDIR");
	char *name;
	assert_true(asprintf(&name, "%s/trainers-XXXXXX", top ? top : "/tmp") > 0);
	assert_non_null(mkdtemp(name));
	return name;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
	(void)st;
	(void)kind;
	(void)where;
	return remove(path);
}

void testing_remove(char *folder)
{
	assert_int_equal(nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
	free(folder);
}

char *testing_path(const char *folder, const char *name)
{
	char *path;
	assert_true(asprintf(&path, "%s/%s", folder, name) > 0);
	return path;
}

char *testing_file(const char *folder, const char *name, const void *data, size_t size)
{
	char *path = testing_path(folder, name);
	FILE *file = fopen(path, "wb");
	assert_non_null(file);
	assert_int_equal(fwrite(data, 1, size, file), size);
	assert_int_equal(fclose(file), 0);
	return path;
}
