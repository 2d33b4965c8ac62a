#include "agent/family.h"

#include "base/mem.h"
#include "base/str.h"

#include <elf.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct image {
	const unsigned char *bytes;
	size_t size;
};

// The part of the file from offset on, if all of it is there.
static const void *part(const struct image *i, uint64_t offset, uint64_t len)
{
	return offset <= i->size && len <= i->size - offset ? i->bytes + offset : NULL;
}

static enum family family_of_library(const char *name)
{
	static const struct {
		const char *prefix;
		enum family family;
	} known[] = {{"libmpi.so.40", FAMILY_OPENMPI}, {"libmpi.so.20", FAMILY_OPENMPI}, {"libopen-rte.so", FAMILY_OPENMPI}, {"libopen-pal.so", FAMILY_OPENMPI},
		{"libmpi_cxx.so.40", FAMILY_OPENMPI}, {"libmpich", FAMILY_MPICH}, {"libmpi.so.12", FAMILY_MPICH}, {"libmpifort.so.12", FAMILY_MPICH},
		{"libmpicxx.so.12", FAMILY_MPICH}};
	for (size_t i = 0; i < countof(known); i++)
		if (str_starts(name, known[i].prefix))
			return known[i].family;
	return FAMILY_NONE;
}

// Sections, not segments: a section says where its strings are in the file, a segment only where they will be in memory.
static enum family search_dynamic(const struct image *image, const Elf64_Shdr *sections, size_t count, const Elf64_Shdr *dynamic)
{
	if (dynamic->sh_link >= count)
		return FAMILY_NONE;
	const Elf64_Shdr *strings = &sections[dynamic->sh_link];
	const char *names = part(image, strings->sh_offset, strings->sh_size);
	const Elf64_Dyn *entries = part(image, dynamic->sh_offset, dynamic->sh_size);
	if (!names || !entries || dynamic->sh_offset % _Alignof(Elf64_Dyn) || strings->sh_size == 0 || names[strings->sh_size - 1] != '\0')
		return FAMILY_NONE;
	for (size_t i = 0; i < dynamic->sh_size / sizeof *entries && entries[i].d_tag != DT_NULL; i++) {
		if (entries[i].d_tag != DT_NEEDED || entries[i].d_un.d_val >= strings->sh_size)
			continue;
		enum family family = family_of_library(names + entries[i].d_un.d_val);
		if (family != FAMILY_NONE)
			return family;
	}
	return FAMILY_NONE;
}

static enum family search(const struct image *image)
{
	const Elf64_Ehdr *head = part(image, 0, sizeof *head);
	if (!head || memcmp(head->e_ident, ELFMAG, SELFMAG) != 0 || head->e_ident[EI_CLASS] != ELFCLASS64 || head->e_ident[EI_DATA] != ELFDATA2LSB)
		return FAMILY_NONE;
	const Elf64_Shdr *sections = part(image, head->e_shoff, (uint64_t)head->e_shnum * sizeof *sections);
	if (!sections || head->e_shoff % _Alignof(Elf64_Shdr) || head->e_shentsize != sizeof *sections)
		return FAMILY_NONE;
	for (size_t i = 0; i < head->e_shnum; i++)
		if (sections[i].sh_type == SHT_DYNAMIC)
			return search_dynamic(image, sections, head->e_shnum, &sections[i]);
	return FAMILY_NONE;
}

enum family family_of(const char *path)
{
	autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size == 0)
		return FAMILY_NONE;
	void *bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (bytes == MAP_FAILED)
		return FAMILY_NONE;
	struct image image = {bytes, (size_t)st.st_size};
	enum family family = search(&image);
	munmap(bytes, (size_t)st.st_size);
	return family;
}
