// Starts the ranks of a real MPI program on several "nodes" of this machine and serves each node's with a PMI server of
// its own. Not the agent: a loop small enough to see that pmi.c alone is what the MPI library needs.
//
//   pmi_mpich NODES RANKS_PER_NODE same|own|none PROGRAM [ARGUMENT...]
//   same: all on one machine; own: each node its own; none: not told
#include "base/mem.h"
#include "node/pmi.h"

#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NODES_MAX = 16, RANKS_MAX = 64, SECONDS = 60 };

struct node {
	struct pmi *pmi;
	size_t first;
};

static struct node nodes[NODES_MAX];
static size_t nnodes, each;
static int fds[RANKS_MAX];
static json_t *fenced;

static void on_reply(size_t local, const char *lines, size_t len, void *data)
{
	struct node *node = data;
	if (write(fds[node->first + local], lines, len) != (ssize_t)len)
		exit(3);
}

static void on_fence(const json_t *puts, void *data)
{
	json_array_append_new(fenced, json_deep_copy(puts));
	if (json_array_size(fenced) < nnodes)
		return;
	autojson json_t *all = fenced;
	fenced = json_array();
	for (size_t k = 0; k < nnodes; k++)
		pmi_fence_done(nodes[k].pmi, all);
}

static void on_abort(size_t local, int code, void *data)
{
	fprintf(stderr, "rank %zu of its node aborts with %d\n", local, code);
}

static pid_t start_rank(size_t rank, size_t size, char **argv)
{
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		exit(3);
	pid_t pid = fork();
	if (pid == 0) {
		autofree char *fd = mem_printf("%d", dup(pair[1]));
		autofree char *number = mem_printf("%zu", rank);
		autofree char *all = mem_printf("%zu", size);
		autofree char *address = mem_printf("127.0.0.%zu", 2 + rank / each);
		setenv("PMI_FD", fd, 1);
		setenv("PMI_RANK", number, 1);
		setenv("PMI_SIZE", all, 1);
		setenv("NODE_ADDRESS", address, 1);
		execvp(argv[0], argv);
		_exit(127);
	}
	close(pair[1]);
	fds[rank] = pair[0];
	return pid;
}

static void serve(size_t size)
{
	struct pollfd polls[RANKS_MAX];
	for (size_t open = size; open > 0;) {
		for (size_t r = 0; r < size; r++)
			polls[r] = (struct pollfd){.fd = fds[r], .events = POLLIN};
		if (poll(polls, size, -1) < 0)
			exit(3);
		for (size_t r = 0; r < size; r++) {
			if (!polls[r].revents)
				continue;
			char bytes[4096];
			ssize_t got = read(fds[r], bytes, sizeof bytes);
			if (got > 0) {
				pmi_input(nodes[r / each].pmi, r % each, bytes, (size_t)got);
			} else {
				close(fds[r]);
				fds[r] = -1;
				open--;
			}
		}
	}
}

int main(int argc, char **argv)
{
	if (argc < 5)
		return 2;
	nnodes = (size_t)atoi(argv[1]);
	each = (size_t)atoi(argv[2]);
	size_t size = nnodes * each;
	if (nnodes < 1 || nnodes > NODES_MAX || size < 1 || size > RANKS_MAX)
		return 2;
	alarm(SECONDS);
	signal(SIGPIPE, SIG_IGN);
	fenced = json_array();
	size_t hosts[RANKS_MAX];
	for (size_t r = 0; r < size; r++)
		hosts[r] = strcmp(argv[3], "own") == 0 ? r / each : 0;
	for (size_t k = 0; k < nnodes; k++) {
		nodes[k].first = k * each;
		nodes[k].pmi = pmi_new(&(struct pmi_options){
			.name = "pmi-mpich",
			.size = size,
			.nlocal = each,
			.hosts = strcmp(argv[3], "none") == 0 ? NULL : hosts,
			.reply = on_reply,
			.fence = on_fence,
			.abort = on_abort,
			.data = &nodes[k],
		});
	}
	pid_t pids[RANKS_MAX];
	for (size_t r = 0; r < size; r++)
		pids[r] = start_rank(r, size, argv + 4);
	serve(size);
	int worst = 0;
	for (size_t r = 0; r < size; r++) {
		int status;
		waitpid(pids[r], &status, 0);
		if (status)
			worst = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	}
	for (size_t k = 0; k < nnodes; k++)
		pmi_free(nodes[k].pmi);
	json_decref(fenced);
	return worst;
}
