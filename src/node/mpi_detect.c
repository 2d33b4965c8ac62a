#include "node/mpi_detect.h"

#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"

#include <elf.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// Enough for any program there is, and little enough for an agent to read.
enum { SECTIONS_MAX = 4096, PART_MAX = 4 << 20 };

// len bytes of the file from offset on, owned by the caller; NULL when they are not all there. Read and not mapped: a
// file that shrinks meanwhile must not kill the agent.
static void *part(int fd, uint64_t offset, uint64_t len)
{
	if (len == 0 || len > PART_MAX || offset > INT64_MAX - PART_MAX)
		return NULL;
	autofree char *bytes = mem_alloc(len);
	for (size_t have = 0; have < len;) {
		ssize_t got = pread(fd, bytes + have, len - have, (off_t)(offset + have));
		if (got <= 0)
			return NULL;
		have += (size_t)got;
	}
	return steal(bytes);
}

static enum mpi_family family_of_library(const char *name)
{
	static const struct {
		const char *prefix;
		enum mpi_family family;
	} known[] = {{"libmpi.so.40", MPI_FAMILY_OPENMPI}, {"libmpi.so.20", MPI_FAMILY_OPENMPI},
		{"libopen-rte.so", MPI_FAMILY_OPENMPI}, {"libopen-pal.so", MPI_FAMILY_OPENMPI},
		{"libmpi_cxx.so.40", MPI_FAMILY_OPENMPI}, {"libmpich", MPI_FAMILY_MPICH},
		{"libmpi.so.12", MPI_FAMILY_MPICH}, {"libmpifort.so.12", MPI_FAMILY_MPICH},
		{"libmpicxx.so.12", MPI_FAMILY_MPICH}};
	for (size_t i = 0; i < countof(known); i++)
		if (str_starts(name, known[i].prefix))
			return known[i].family;
	return MPI_FAMILY_NONE;
}

// Sections, not segments: a section says where its strings are in the file, a segment only where they will be in
// memory.
static enum mpi_family search_dynamic(int fd, const Elf64_Shdr *dynamic, const Elf64_Shdr *strings)
{
	autofree char *names = part(fd, strings->sh_offset, strings->sh_size);
	autofree Elf64_Dyn *entries = part(fd, dynamic->sh_offset, dynamic->sh_size);
	if (!names || !entries || names[strings->sh_size - 1] != '\0')
		return MPI_FAMILY_NONE;
	for (size_t i = 0; i < dynamic->sh_size / sizeof *entries && entries[i].d_tag != DT_NULL; i++) {
		if (entries[i].d_tag != DT_NEEDED || entries[i].d_un.d_val >= strings->sh_size)
			continue;
		enum mpi_family family = family_of_library(names + entries[i].d_un.d_val);
		if (family != MPI_FAMILY_NONE)
			return family;
	}
	return MPI_FAMILY_NONE;
}

enum mpi_family mpi_detect_program(const char *path)
{
	autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return MPI_FAMILY_NONE;
	autofree Elf64_Ehdr *head = part(fd, 0, sizeof *head);
	if (!head || memcmp(head->e_ident, ELFMAG, SELFMAG) != 0 || head->e_ident[EI_CLASS] != ELFCLASS64 ||
		head->e_ident[EI_DATA] != ELFDATA2LSB || head->e_shentsize != sizeof(Elf64_Shdr) ||
		head->e_shnum > SECTIONS_MAX)
		return MPI_FAMILY_NONE;
	autofree Elf64_Shdr *sections = part(fd, head->e_shoff, head->e_shnum * sizeof *sections);
	for (size_t i = 0; sections && i < head->e_shnum; i++)
		if (sections[i].sh_type == SHT_DYNAMIC && sections[i].sh_link < head->e_shnum)
			return search_dynamic(fd, &sections[i], &sections[sections[i].sh_link]);
	return MPI_FAMILY_NONE;
}

enum mpi_family mpi_detect_process(pid_t pid)
{
	char path[32];
	snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
	autofree char *maps = fs_read(path, PART_MAX, NULL, NULL);
	char *rest;
	for (char *line = maps ? strtok_r(maps, "\n", &rest) : NULL; line; line = strtok_r(NULL, "\n", &rest)) {
		const char *slash = strrchr(line, '/');
		enum mpi_family family = slash ? family_of_library(slash + 1) : MPI_FAMILY_NONE;
		if (family != MPI_FAMILY_NONE)
			return family;
	}
	return MPI_FAMILY_NONE;
}
