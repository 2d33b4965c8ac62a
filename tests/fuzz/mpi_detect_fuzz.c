// A file somebody calls a program.
#include "base/mem.h"
#include "node/mpi_detect.h"

#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	autoclose int fd = memfd_create("program", MFD_CLOEXEC);
	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		return 0;
	autofree char *path = mem_printf("/proc/self/fd/%d", fd);
	mpi_detect_program(path);
	return 0;
}
