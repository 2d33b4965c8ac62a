#include "node/hosts_file.h"

#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static const char mark[] = "# muster";
enum { FILE_MAX = 16 << 20 };

// What others wrote, with an end to its last line.
static void copy_others(struct str *out, const char *text)
{
	for (const char *at = text; *at;) {
		size_t len = strcspn(at, "\n");
		autofree char *line = mem_strndup(at, len);
		if (!str_ends(line, mark))
			str_printf(out, "%s\n", line);
		at += len + (at[len] == '\n');
	}
}

static void add_peers(struct str *out, const json_t *peers)
{
	size_t i;
	const json_t *peer;
	json_array_foreach (peers, i, peer) {
		const char *name = json_text(peer, "name"), *address = json_text(peer, "address");
		if (name && address && strcmp(name, address) != 0)
			str_printf(out, "%s\t%s\t%s\n", address, name, mark);
	}
}

// What is the same stays untouched, so that nobody reads half a file: the first time that is all but the end.
static int write_in_place(const char *path, const char *before, const struct str *after, struct error *err)
{
	autoclose int fd = open(path, O_WRONLY | O_CLOEXEC);
	size_t same = 0;
	while (before[same] && before[same] == after->text[same])
		same++;
	if (fd < 0 || lseek(fd, (off_t)same, SEEK_SET) < 0)
		return error_errno(err, "cannot write '%s'", path);
	if (fs_write_fd(fd, after->text + same, after->len - same, err))
		return -1;
	return ftruncate(fd, (off_t)after->len) ? error_errno(err, "cannot write '%s'", path) : 0;
}

int hosts_file_set(const char *path, const json_t *peers, struct error *err)
{
	size_t len;
	autofree char *before = fs_read(path, FILE_MAX, &len, err);
	if (!before)
		return -1;
	autostr struct str after = {0};
	str_puts(&after, "");
	copy_others(&after, before);
	add_peers(&after, peers);
	return strcmp(before, after.text) == 0 ? 0 : write_in_place(path, before, &after, err);
}
