// An archive. Whatever it holds, the file beside the directory it is unpacked to stays as it is.
#include "base/archives.h"
#include "base/fs.h"
#include "base/mem.h"

#include <assert.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_MAX_BYTES = 16 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	signal(SIGXFSZ, SIG_IGN); // a few bytes may unpack to very many
	setrlimit(RLIMIT_FSIZE, &(struct rlimit){FILE_MAX_BYTES, FILE_MAX_BYTES});
	autoclose int fd = memfd_create("archive", MFD_CLOEXEC);
	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		return 0;
	char root[] = "/tmp/tar-fuzz-XXXXXX";
	assert(mkdtemp(root));
	autofree char *archive = mem_printf("/proc/self/fd/%d", fd), *in = fs_join(root, "in"),
		      *outside = fs_join(root, "outside");
	assert(mkdir(in, 0755) == 0 && fs_write(outside, "safe", 4, 0644, NULL) == 0);
	archives_unpack(archive, in, NULL, NULL, NULL, NULL);
	autofree char *text = fs_read(outside, 10, NULL, NULL);
	assert(text && strcmp(text, "safe") == 0);
	assert(fs_remove(root, NULL) == 0);
	return 0;
}
