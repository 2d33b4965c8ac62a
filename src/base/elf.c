#include "base/elf.h"

#include "base/mem.h"

#include <elf.h>
#include <stdint.h>
#include <string.h>

static const struct {
	int number;
	const char *name;
} machines[] = {
	{EM_X86_64, "amd64"},
	{EM_AARCH64, "arm64"},
	{EM_PPC64, "ppc64le"},
	{EM_RISCV, "riscv64"},
};

static Elf64_Phdr segment(const void *bytes, const Elf64_Ehdr *head, size_t i)
{
	Elf64_Phdr p; // they may stand anywhere, not only where a struct may
	memcpy(&p, (const char *)bytes + head->e_phoff + i * sizeof p, sizeof p);
	return p;
}

static bool is_head(const Elf64_Ehdr *head, size_t len)
{
	return memcmp(head->e_ident, ELFMAG, SELFMAG) == 0 && head->e_ident[EI_CLASS] == ELFCLASS64 &&
	       head->e_ident[EI_DATA] == ELFDATA2LSB && (head->e_type == ET_EXEC || head->e_type == ET_DYN) &&
	       head->e_phentsize == sizeof(Elf64_Phdr) && head->e_phnum && head->e_phoff <= len &&
	       head->e_phnum * sizeof(Elf64_Phdr) <= len - head->e_phoff;
}

int elf_read(const void *bytes, size_t len, struct elf *elf, struct error *err)
{
	Elf64_Ehdr head = {0};
	memcpy(&head, bytes, len < sizeof head ? len : sizeof head);
	if (len < sizeof head || !is_head(&head, len))
		return error_set(err, ERROR_SYSTEM, "expected an executable (ELF, 64 bits, little-endian)");
	*elf = (struct elf){0};
	for (size_t i = 0; i < countof(machines); i++)
		if (machines[i].number == head.e_machine)
			elf->machine = machines[i].name;
	if (!elf->machine)
		return error_set(err, ERROR_SYSTEM, "an executable for a processor that is not known (ELF machine %d)",
			head.e_machine);
	for (size_t i = 0; i < head.e_phnum; i++) {
		Elf64_Phdr p = segment(bytes, &head, i);
		if (p.p_offset > len || p.p_filesz > len - p.p_offset)
			return error_set(err, ERROR_SYSTEM, "the executable ends too early");
		elf->dynamic = elf->dynamic || p.p_type == PT_INTERP;
	}
	return 0;
}

size_t elf_strip(void *bytes, size_t len)
{
	Elf64_Ehdr head;
	memcpy(&head, bytes, sizeof head);
	size_t end = head.e_phoff + head.e_phnum * sizeof(Elf64_Phdr);
	end = end < sizeof head ? sizeof head : end;
	for (size_t i = 0; i < head.e_phnum; i++) {
		Elf64_Phdr p = segment(bytes, &head, i);
		end = p.p_offset + p.p_filesz > end ? p.p_offset + p.p_filesz : end;
	}
	head.e_shoff = 0;
	head.e_shnum = head.e_shstrndx = 0;
	memcpy(bytes, &head, sizeof head);
	return end < len ? end : len;
}
