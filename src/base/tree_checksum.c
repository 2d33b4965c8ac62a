#include "base/tree_checksum.h"

#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LINK_MAX_BYTES = 4096, DEPTH_MAX = 256 };

static int add_directory(struct crypto_hash *hash, const char *dir, const char *below, int depth, struct error *err);

// One line: kind, mode, path, and what is in it. Paths may hold newlines, hence the zero bytes.
static int add_entry(struct crypto_hash *hash, const char *dir, const char *name, int depth, struct error *err)
{
	autofree char *path = fs_join(dir, name);
	char sum[CRYPTO_HEX] = "", target[LINK_MAX_BYTES + 1] = "";
	struct stat st;
	if (lstat(path, &st) < 0)
		return error_errno(err, "cannot read '%s'", path);
	if (S_ISREG(st.st_mode) && crypto_sha256_file(path, sum, err) < 0)
		return -1;
	if (S_ISLNK(st.st_mode) && readlink(path, target, LINK_MAX_BYTES) < 0)
		return error_errno(err, "cannot read '%s'", path);
	autofree char *line = mem_printf("%c %o %s %s",
		S_ISREG(st.st_mode)   ? 'f'
		: S_ISDIR(st.st_mode) ? 'd'
		: S_ISLNK(st.st_mode) ? 'l'
				      : '?',
		S_ISLNK(st.st_mode) ? 0 : (unsigned)(st.st_mode & 0111), sum, name);
	crypto_hash_add(hash, line, strlen(line) + 1);
	crypto_hash_add(hash, target, strlen(target) + 1);
	return S_ISDIR(st.st_mode) ? add_directory(hash, dir, name, depth + 1, err) : 0;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int add_directory(struct crypto_hash *hash, const char *dir, const char *below, int depth, struct error *err)
{
	struct dirent **list;
	autofree char *path = *below ? fs_join(dir, below) : mem_strdup(dir);
	int count = depth < DEPTH_MAX ? scandir(path, &list, NULL, by_name) : -1, rc = 0;
	if (count < 0)
		return error_errno(err, "cannot read '%s'", path);
	for (int i = 0; i < count; i++) {
		const char *name = list[i]->d_name;
		autofree char *inner = *below ? mem_printf("%s/%s", below, name) : mem_strdup(name);
		if (rc == 0 && strcmp(name, ".") != 0 && strcmp(name, "..") != 0)
			rc = add_entry(hash, dir, inner, depth, err);
		free(list[i]);
	}
	free(list);
	return rc;
}

int tree_checksum_make(const char *dir, char hex[CRYPTO_HEX], struct error *err)
{
	struct crypto_hash *hash = crypto_hash_new();
	int rc = add_directory(hash, dir, "", 0, err);
	crypto_hash_end(hash, hex);
	return rc;
}
