#include "helper/openmpi_shim.h"

#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/unix_socket.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { ANSWER_MAX = 4096, RSH_FAILED = 255 }; // what ssh returns when it cannot do its part

// One line; false when the other end closes before it is whole.
static bool read_line(int fd, char *line, size_t size)
{
	size_t len = 0;
	while (len < size - 1) {
		ssize_t n = read(fd, line + len, size - 1 - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		len += (size_t)n;
		if (line[len - 1] == '\n')
			break;
	}
	line[len] = '\0';
	return true;
}

// Asks the agent and waits for its answer for as long as it takes. The agent's end of the line is the end of the run
// here: status gone.
static int ask(const json_t *question, int gone, struct error *err)
{
	const char *path = getenv(OPENMPI_SHIM_SOCKET);
	prctl(PR_SET_PDEATHSIG, SIGKILL); // where whoever started us is gone there is nobody to answer to
	if (!path)
		return error_set(err, ERROR_USAGE, "%s is not set: only mpirun starts this, in a run of muster",
			OPENMPI_SHIM_SOCKET);
	autoclose int fd = unix_socket_connect(path, err);
	if (fd < 0)
		return -1;
	autofree char *text = json_dumps(question, JSON_COMPACT);
	autofree char *line = mem_printf("%s\n", text);
	signal(SIGPIPE, SIG_IGN);
	char answer[ANSWER_MAX];
	if (fs_write_fd(fd, line, strlen(line), err) < 0)
		return -1;
	if (!read_line(fd, answer, sizeof answer))
		return gone;
	autojson json_t *tree = json_loads(answer, 0, NULL);
	const char *error = json_string_value(json_object_get(tree, "error"));
	const json_t *status = json_object_get(tree, "status");
	if (error || !json_is_integer(status))
		return error_set(err, ERROR_SYSTEM, "%s", error ? error : "invalid answer from the agent");
	return (int)json_integer_value(status) & 255;
}

int openmpi_shim_rsh(int argc, char **argv, struct error *err)
{
	if (argc < 2)
		return error_set(err, ERROR_USAGE, "rsh: expected a host and a command");
	autostr struct str command = {0};
	for (int i = 1; i < argc; i++)
		str_printf(&command, "%s%s", i > 1 ? " " : "", argv[i]);
	autojson json_t *question = json_pack("{s:s, s:s}", "host", argv[0], "command", command.text);
	if (!question)
		return error_set(err, ERROR_USAGE, "rsh: the command is not UTF-8 text");
	return ask(question, RSH_FAILED, err);
}

// What the process that Open MPI has made ready would have said to the library: the rank gets it from the agent.
static json_t *own_variables(void)
{
	static const char *const begins[] = {"OMPI_", "PMIX_", "PRTE_", "ORTE_", "OPAL_", "LD_LIBRARY_PATH="};
	json_t *env = json_object();
	for (char **e = environ; *e; e++)
		for (size_t i = 0; i < countof(begins); i++)
			if (str_starts(*e, begins[i])) {
				json_object_setn_new(env, *e, strcspn(*e, "="), json_string(*e + strcspn(*e, "=") + 1));
				break;
			}
	return env;
}

int openmpi_shim_rank(struct error *err)
{
	const char *number = getenv("OMPI_COMM_WORLD_RANK");
	number = number ? number : getenv("PMIX_RANK");
	if (!number)
		return error_set(err, ERROR_USAGE, "rank: mpirun has set neither OMPI_COMM_WORLD_RANK nor PMIX_RANK");
	autojson json_t *question = mem_json("{s:i, s:o}", "rank", atoi(number), "env", own_variables());
	return ask(question, 128 + SIGKILL, err);
}
