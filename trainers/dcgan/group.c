#include "dcgan/group.h"

#include "common/die.h"

#include <limits.h>
#include <mpi.h>
#include <time.h>

// MPI's own error handler ends the program too, but without saying which line called.
#define must(call)                                                                                                     \
	do {                                                                                                           \
		int status_ = (call);                                                                                  \
		if (status_ != MPI_SUCCESS)                                                                            \
			die("MPI: error %d from %s", status_, #call);                                                  \
	} while (0)

static void take_all_down(void)
{
	MPI_Abort(MPI_COMM_WORLD, 1);
}

void group_start(struct group *g)
{
	MPI_Comm here;
	must(MPI_Init(NULL, NULL));
	must(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN));
	die_set_hook(take_all_down);
	must(MPI_Comm_rank(MPI_COMM_WORLD, &g->rank));
	must(MPI_Comm_size(MPI_COMM_WORLD, &g->size));
	must(MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &here));
	must(MPI_Comm_size(here, &g->on_this_machine));
	must(MPI_Comm_free(&here));
}

void group_stop(void)
{
	die_set_hook(NULL);
	must(MPI_Finalize());
}

static int int_count(size_t count)
{
	if (count > INT_MAX)
		die("%zu are more than one MPI call can take", count);
	return (int)count;
}

// The averages under way.
static struct {
	int count;
	MPI_Request request[GROUP_AVERAGES];
	float *x[GROUP_AVERAGES];
	size_t floats[GROUP_AVERAGES];
	MPI_Status status[GROUP_AVERAGES];
} averages;

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

void group_average_start(struct group *g, float *x, size_t count)
{
	double start = now();
	int i = averages.count;
	if (g->size == 1)
		return;
	if (i == GROUP_AVERAGES)
		die("more than %d averages at a time", GROUP_AVERAGES);
	must(MPI_Iallreduce(
		MPI_IN_PLACE, x, int_count(count), MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD, &averages.request[i]));
	averages.x[i] = x;
	averages.floats[i] = count;
	averages.count = i + 1;
	g->seconds += now() - start;
}

void group_progress(struct group *g)
{
	double start = now();
	int done;
	if (averages.count == 0)
		return;
	must(MPI_Testall(averages.count, averages.request, &done, averages.status));
	g->seconds += now() - start;
}

void group_average_finish(struct group *g)
{
	double start = now();
	float part = 1 / (float)g->size;
	if (averages.count == 0)
		return;
	must(MPI_Waitall(averages.count, averages.request, averages.status));
	for (int i = 0; i < averages.count; i++)
		for (size_t k = 0; k < averages.floats[i]; k++)
			averages.x[i][k] *= part;
	averages.count = 0;
	g->seconds += now() - start;
}

void group_broadcast(const struct group *g, float *x, size_t count)
{
	if (g->size > 1)
		must(MPI_Bcast(x, int_count(count), MPI_FLOAT, 0, MPI_COMM_WORLD));
}

void group_broadcast_bytes(const struct group *g, void *x, size_t size)
{
	if (g->size > 1)
		must(MPI_Bcast(x, int_count(size), MPI_BYTE, 0, MPI_COMM_WORLD));
}

void group_wait(const struct group *g)
{
	if (g->size > 1)
		must(MPI_Barrier(MPI_COMM_WORLD));
}
