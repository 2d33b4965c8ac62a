#include "base/fs.h"
#include "base/mem.h"
#include "node/mpi_detect.h"

#include <elf.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

// A program that is nothing but the list of the libraries it needs. tests/agent looks at real ones.
struct program {
	Elf64_Ehdr head;
	Elf64_Shdr sections[2]; // dynamic, its strings
	Elf64_Dyn needs[3];
	char strings[64];
};

static struct program make(const char *first, const char *second)
{
	struct program p = {0};
	memcpy(p.head.e_ident, ELFMAG, SELFMAG);
	p.head.e_ident[EI_CLASS] = ELFCLASS64;
	p.head.e_ident[EI_DATA] = ELFDATA2LSB;
	p.head.e_shoff = offsetof(struct program, sections);
	p.head.e_shentsize = sizeof p.sections[0];
	p.head.e_shnum = countof(p.sections);
	p.sections[0] = (Elf64_Shdr){.sh_type = SHT_DYNAMIC,
		.sh_offset = offsetof(struct program, needs),
		.sh_size = sizeof p.needs,
		.sh_link = 1};
	p.sections[1] = (Elf64_Shdr){
		.sh_type = SHT_STRTAB, .sh_offset = offsetof(struct program, strings), .sh_size = sizeof p.strings};
	strcpy(p.strings + 1, first);
	size_t at = 2 + strlen(first);
	strcpy(p.strings + at, second);
	p.needs[0] = (Elf64_Dyn){.d_tag = DT_NEEDED, .d_un.d_val = 1};
	p.needs[1] = (Elf64_Dyn){.d_tag = DT_NEEDED, .d_un.d_val = at};
	return p;
}

static enum mpi_family family_of_bytes(const void *bytes, size_t len)
{
	char path[] = "/tmp/family-test-XXXXXX";
	int fd = mkstemp(path);
	assert_int_equal(fs_write_fd(fd, bytes, len, NULL), 0);
	close(fd);
	enum mpi_family family = mpi_detect_program(path);
	unlink(path);
	return family;
}

static enum mpi_family family_with(const char *first, const char *second)
{
	struct program p = make(first, second);
	return family_of_bytes(&p, sizeof p);
}

static void the_library_tells_the_family(void **state)
{
	assert_int_equal(family_with("libmpich.so.12", "libc.so.6"), MPI_FAMILY_MPICH);
	assert_int_equal(family_with("libm.so.6", "libmpi.so.12"), MPI_FAMILY_MPICH);
	assert_int_equal(family_with("libmpifort.so.12", "libc.so.6"), MPI_FAMILY_MPICH);
	assert_int_equal(family_with("libc.so.6", "libmpi.so.40"), MPI_FAMILY_OPENMPI);
	assert_int_equal(family_with("libopen-rte.so.40", "libc.so.6"), MPI_FAMILY_OPENMPI);
	assert_int_equal(family_with("libc.so.6", "libm.so.6"), MPI_FAMILY_NONE);
	assert_int_equal(family_with("libmpi", "xlibmpi.so.40"), MPI_FAMILY_NONE);
}

static void what_is_no_program_has_none(void **state)
{
	assert_int_equal(mpi_detect_program("/nonexistent"), MPI_FAMILY_NONE);
	assert_int_equal(mpi_detect_program("/"), MPI_FAMILY_NONE);
	assert_int_equal(mpi_detect_program("/dev/zero"), MPI_FAMILY_NONE);
	assert_int_equal(family_of_bytes("", 0), MPI_FAMILY_NONE);
	assert_int_equal(family_of_bytes("#!/bin/sh\n", 10), MPI_FAMILY_NONE);
}

static void damaged_programs_have_none(void **state)
{
	struct program p = make("libmpi.so.40", "");
	assert_int_equal(family_of_bytes(&p, sizeof p), MPI_FAMILY_OPENMPI);
	for (size_t len = 0; len < sizeof p; len++)
		assert_int_equal(family_of_bytes(&p, len), MPI_FAMILY_NONE);
	for (size_t i = 0; i < sizeof p; i++) { // whatever one byte is, it is survived
		struct program q = p;
		((unsigned char *)&q)[i] ^= 0xff;
		family_of_bytes(&q, sizeof q);
	}
	struct program q = p;
	q.sections[0].sh_link = 7;
	assert_int_equal(family_of_bytes(&q, sizeof q), MPI_FAMILY_NONE);
	q = p;
	q.sections[1].sh_size = UINT64_MAX;
	assert_int_equal(family_of_bytes(&q, sizeof q), MPI_FAMILY_NONE);
	q = p;
	q.sections[1].sh_offset = UINT64_MAX - 8;
	assert_int_equal(family_of_bytes(&q, sizeof q), MPI_FAMILY_NONE);
	q = p;
	q.needs[0].d_un.d_val = 1000;
	assert_int_equal(family_of_bytes(&q, sizeof q), MPI_FAMILY_NONE);
	q = p;
	memset(q.strings, 'x', sizeof q.strings); // no end
	assert_int_equal(family_of_bytes(&q, sizeof q), MPI_FAMILY_NONE);
}

// Maps a file of that name and asks about ourselves.
static enum mpi_family family_with_mapped(const char *name)
{
	char dir[] = "/tmp/family-test-XXXXXX";
	assert_non_null(mkdtemp(dir));
	autofree char *path = fs_join(dir, name);
	assert_int_equal(fs_write(path, "x", 1, 0644, NULL), 0);
	autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
	void *bytes = mmap(NULL, 1, PROT_READ, MAP_PRIVATE, fd, 0);
	assert_true(bytes != MAP_FAILED);
	enum mpi_family family = mpi_detect_process(getpid());
	munmap(bytes, 1);
	assert_int_equal(fs_remove(dir, NULL), 0);
	return family;
}

static void a_process_is_known_by_what_it_has_loaded(void **state)
{
	assert_int_equal(mpi_detect_process(getpid()), MPI_FAMILY_NONE);
	assert_int_equal(family_with_mapped("libmpi.so.40.30.4"), MPI_FAMILY_OPENMPI);
	assert_int_equal(family_with_mapped("libmpich.so.12.2.0"), MPI_FAMILY_MPICH);
	assert_int_equal(family_with_mapped("libm.so.6"), MPI_FAMILY_NONE);
	assert_int_equal(mpi_detect_process(0x7ffffff0), MPI_FAMILY_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_library_tells_the_family),
		cmocka_unit_test(what_is_no_program_has_none),
		cmocka_unit_test(damaged_programs_have_none),
		cmocka_unit_test(a_process_is_known_by_what_it_has_loaded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
