#include "base/elf.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/proc.h"

#include <elf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

// A head, two segments, their bytes, and 100 bytes that are not loaded.
struct image {
	Elf64_Ehdr head;
	Elf64_Phdr segments[2];
	char loaded[50], rest[100];
};

static struct image make(void)
{
	return (struct image){
		.head = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
			.e_type = ET_EXEC,
			.e_machine = EM_AARCH64,
			.e_phoff = offsetof(struct image, segments),
			.e_phnum = 2,
			.e_phentsize = sizeof(Elf64_Phdr),
			.e_shoff = offsetof(struct image, rest),
			.e_shnum = 7,
			.e_shstrndx = 6},
		.segments = {{.p_type = PT_LOAD, .p_offset = offsetof(struct image, loaded), .p_filesz = 50},
			{.p_type = PT_NOTE, .p_offset = offsetof(struct image, loaded), .p_filesz = 4}},
	};
}

static void test_read(void **state)
{
	struct image image = make();
	struct elf elf;
	assert_int_equal(elf_read(&image, sizeof image, &elf, NULL), 0);
	assert_string_equal(elf.machine, "arm64");
	assert_false(elf.dynamic);
	image.segments[1].p_type = PT_INTERP;
	image.head.e_machine = EM_X86_64;
	assert_int_equal(elf_read(&image, sizeof image, &elf, NULL), 0);
	assert_string_equal(elf.machine, "amd64");
	assert_true(elf.dynamic);
}

static void test_strip(void **state)
{
	struct image image = make();
	assert_int_equal(elf_strip(&image, sizeof image), offsetof(struct image, rest));
	assert_int_equal(image.head.e_shoff, 0);
	assert_int_equal(image.head.e_shnum, 0);
	struct elf elf;
	assert_int_equal(elf_read(&image, offsetof(struct image, rest), &elf, NULL), 0);
	assert_int_equal(elf_strip(&image, offsetof(struct image, rest)), offsetof(struct image, rest));
}

static void expect(struct image image, size_t len, const char *text)
{
	struct error err = {0};
	struct elf elf;
	autofree char *exact = mem_alloc(len + 1); // so that a sanitizer sees what is read behind it
	memcpy(exact, &image, len);
	exact = mem_resize(exact, len ? len : 1);
	assert_int_equal(elf_read(exact, len, &elf, &err), -1);
	assert_non_null(strstr(err.text, text));
}

static void test_bad(void **state)
{
	const char *none = "expected an executable (ELF, 64 bits, little-endian)";
	struct image image = make(), good = image;
	expect(image, 0, none);
	expect(image, sizeof image.head - 1, none);
	expect(image, sizeof image.head + 10, none);
	expect(image, offsetof(struct image, loaded) + 49, "ends too early");
	image.head.e_phoff = UINT64_MAX - 8;
	expect(image, sizeof image, none);
	image = good;
	image.head.e_ident[EI_CLASS] = ELFCLASS32;
	expect(image, sizeof image, none);
	image = good;
	image.head.e_type = ET_REL;
	expect(image, sizeof image, none);
	image = good;
	image.head.e_machine = EM_S390;
	expect(image, sizeof image, "a processor that is not known (ELF machine 22)");
	image = good;
	image.segments[0].p_filesz = UINT64_MAX;
	expect(image, sizeof image, "ends too early");
	memcpy(image.head.e_ident, "#!/b", 4);
	expect(image, sizeof image, none);
}

// This test's own executable runs when it is stripped: with an argument it only says so.
static void test_runs(void **state)
{
	autofree char *own = proc_program();
	size_t len;
	autofree char *bytes = fs_read(own, 64 << 20, &len, NULL);
	struct elf elf;
	assert_int_equal(elf_read(bytes, len, &elf, NULL), 0);
	size_t left = elf_strip(bytes, len);
	assert_true(left < len);
	char path[] = "/tmp/elf-test-XXXXXX";
	close(mkstemp(path));
	assert_int_equal(fs_write(path, bytes, left, 0700, NULL), 0);
	autofree char *command = mem_printf("%s says", path);
	assert_int_equal(WEXITSTATUS(system(command)), 33);
	unlink(path);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read),
		cmocka_unit_test(test_strip),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_runs),
	};
	return argc > 1 ? 33 : cmocka_run_group_tests(tests, NULL, NULL);
}
