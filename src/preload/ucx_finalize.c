// What ranks of the MPICH family load before their own libraries: it keeps one that has taken leave of the others
// within their hearing. It is no part of the agent, which only carries it, and it uses nothing but the C library,
// whichever that is.
//
// In MPI_Finalize of MPICH 4.0 and 4.1 over UCX a rank says farewell to all others, waits until each has acknowledged
// that, and then reads a word of the process manager, which comes when all have got so far. While it waits for that
// word it is deaf to the network, but who says farewell later needs its acknowledgement: both wait for ever. Here the
// network is attended to until the word is there.
#include <dlfcn.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/types.h>

// UCX's, as far as they are needed; their arguments are passed on as they are.
int ucp_worker_create(void *context, const void *params, void **worker);
void ucp_worker_destroy(void *which);
void *ucp_disconnect_nb(void *endpoint);
// The C library's; unistd.h would declare it with attributes that differ from library to library.
ssize_t read(int fd, void *buf, size_t len);

static void *worker;
static int manager = -1; // the descriptor that it speaks to the process manager by, once it takes leave

static void *next(const char *name)
{
	return dlsym(RTLD_NEXT, name);
}

int ucp_worker_create(void *context, const void *params, void **created)
{
	static int (*create)(void *, const void *, void **);
	if (!create)
		*(void **)&create = next("ucp_worker_create");
	int status = create(context, params, created);
	if (status == 0 && !worker)
		worker = *created;
	return status;
}

void ucp_worker_destroy(void *which)
{
	static void (*destroy)(void *);
	if (!destroy)
		*(void **)&destroy = next("ucp_worker_destroy");
	if (which == worker)
		manager = -1;
	destroy(which);
}

void *ucp_disconnect_nb(void *endpoint)
{
	static void *(*disconnect)(void *);
	const char *fd = getenv("PMI_FD");
	if (!disconnect)
		*(void **)&disconnect = next("ucp_disconnect_nb");
	if (fd && worker)
		manager = atoi(fd);
	return disconnect(endpoint);
}

static void attend(int fd)
{
	static unsigned (*progress)(void *);
	struct pollfd until = {.fd = fd, .events = POLLIN};
	if (!progress)
		*(void **)&progress = next("ucp_worker_progress");
	do
		while (progress(worker) > 0)
			;
	while (poll(&until, 1, 1) == 0);
}

ssize_t read(int fd, void *buf, size_t len)
{
	static ssize_t (*from)(int, void *, size_t);
	if (!from)
		*(void **)&from = next("read");
	if (fd == manager)
		attend(fd);
	return from(fd, buf, len);
}
