#include "dcgan/group.h"

#include "common/die.h"

#include <limits.h>
#include <mpi.h>

// MPI's own error handler ends the program too, but without saying which line called.
#define must(call)                                                                                                                         \
	do {                                                                                                                               \
		int status_ = (call);                                                                                                      \
		if (status_ != MPI_SUCCESS)                                                                                                \
			die("MPI: error %d from %s", status_, #call);                                                                      \
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

void group_average(const struct group *g, float *x, size_t count)
{
	if (g->size == 1)
		return;
	must(MPI_Allreduce(MPI_IN_PLACE, x, int_count(count), MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD));
	float part = 1 / (float)g->size;
	for (size_t i = 0; i < count; i++)
		x[i] *= part;
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
