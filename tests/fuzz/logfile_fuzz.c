// A log of some other program.
#include "base/mem.h"
#include "predict/logfile.h"

#include <assert.h>
#include <math.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	autoclose int fd = memfd_create("log", MFD_CLOEXEC);
	assert(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	autofree char *path = mem_printf("/proc/self/fd/%d", fd);
	struct iterations *it = iterations_new();
	struct logfile found;
	struct error err;
	struct estimate_input in;
	if (logfile_read(path, NULL, NAN, it, &found, &err) == 0 && iterations_input(it, 0, &in)) {
		assert(found.heads > 0 && found.heads <= found.lines);
		for (size_t i = 0; i < in.count; i++)
			assert(in.turns[i].seconds >= 0 && in.turns[i].count > 0);
		struct estimate e = estimate_make(&in);
		assert(isnan(e.total) || (e.total_low <= e.total && e.total <= e.total_high));
	}
	autojson json_t *said = iterations_describe(it, 0);
	assert(said);
	iterations_free(it);
	return 0;
}
