// What ranks exchange, with as many ranks as the launcher starts: alone, and as two in the suite "trainers".
#include "common/die.h"
#include "common/mem.h"
#include "dcgan/group.h"

#include <stdlib.h>

#define COUNT 100001

int main(void)
{
	struct group g;
	float *x = mem_floats(COUNT);
	group_start(&g);
	if (g.rank < 0 || g.rank >= g.size || g.on_this_machine != g.size)
		die("rank %d of %d, %d on this machine", g.rank, g.size, g.on_this_machine);
	for (int i = 0; i < COUNT; i++)
		x[i] = (float)((g.rank + 1) * (i % 1000));
	group_average_start(&g, x, COUNT / 3); // two at a time, of uneven size
	group_progress(&g);
	group_average_start(&g, x + COUNT / 3, COUNT - COUNT / 3);
	group_average_finish(&g);
	group_average_finish(&g); // nothing is under way
	for (int i = 0; i < COUNT; i++)
		if (x[i] != (float)(g.size + 1) / 2 * (float)(i % 1000))
			die("average %d is %g of %d ranks", i, x[i], g.size);
	for (int i = 0; i < COUNT; i++)
		x[i] = (float)(g.rank * 7 + i);
	group_broadcast(&g, x, COUNT);
	for (int i = 0; i < COUNT; i++)
		if (x[i] != (float)i)
			die("broadcast %d is %g", i, x[i]);
	long number = g.rank == 0 ? 42 : -1;
	group_broadcast_bytes(&g, &number, sizeof number);
	if (number != 42)
		die("the number of rank 0 is %ld", number);
	group_wait(&g);
	group_stop();
	free(x);
	return 0;
}
