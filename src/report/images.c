#include "report/images.h"

#include "base/fs.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path_text.h"
#include "base/str.h"
#include "report/html.h"

#include <ctype.h>
#include <fcntl.h>
#include <fts.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILES_MAX = 5000, SHOWN_MAX = 120 };

struct image {
	char *path; // below the run directory
	char *kind; // path with every number as '#'
	const char *type;
	size_t bytes;
	bool shown;
};

struct images {
	struct image *items;
	size_t count, size;
};

static const struct {
	const char *suffix, *type, *magic;
	size_t len;
} types[] = {
	{".png", "image/png", "\x89PNG\r\n\x1a\n", 8},
	{".jpg", "image/jpeg", "\xff\xd8\xff", 3},
	{".jpeg", "image/jpeg", "\xff\xd8\xff", 3},
	{".gif", "image/gif", "GIF8", 4},
};

static const char *type_of(const char *path)
{
	size_t len = strlen(path);
	for (size_t i = 0; i < countof(types); i++) {
		size_t n = strlen(types[i].suffix);
		if (len > n && strcasecmp(path + len - n, types[i].suffix) == 0)
			return types[i].type;
	}
	return NULL;
}

static char *kind_of(const char *path)
{
	autostr struct str kind = {0};
	for (const char *c = path; *c; c++) {
		bool digit = isdigit((unsigned char)*c);
		if (!digit || c == path || !isdigit((unsigned char)c[-1]))
			str_add(&kind, digit ? "#" : c, 1);
	}
	return str_steal(&kind);
}

// fake-9 comes before fake-10.
static int compare(const void *a, const void *b)
{
	const struct image *x = a, *y = b;
	int order = strcmp(x->kind, y->kind);
	return order ? order : strverscmp(x->path, y->path);
}

static void add(struct images *images, char *path, const char *type, size_t bytes)
{
	if (images->count == images->size) {
		images->size = images->size ? 2 * images->size : 64;
		images->items = mem_resize(images->items, images->size * sizeof(*images->items));
	}
	images->items[images->count++] =
		(struct image){.path = path, .kind = kind_of(path), .type = type, .bytes = bytes};
}

static void walk(struct images *images, const struct run *run)
{
	autofree char *top = run_path(run, "outputs");
	char *const paths[] = {top, NULL};
	FTS *fts = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	if (!fts)
		return;
	for (FTSENT *e; images->count < FILES_MAX && (e = fts_read(fts));) {
		const char *type = e->fts_info == FTS_F ? type_of(e->fts_path) : NULL;
		if (type && e->fts_statp->st_size > 0)
			add(images, mem_strdup(e->fts_path + strlen(run->dir) + 1), type,
				(size_t)e->fts_statp->st_size);
	}
	fts_close(fts);
	if (images->count)
		qsort(images->items, images->count, sizeof(*images->items), compare);
}

// Round k shows the k-th from the end of every kind.
static void choose(struct images *images, size_t budget)
{
	bool any = true;
	for (size_t round = 0, shown = 0; any; round++) {
		any = false;
		for (size_t end = images->count; end > 0;) {
			size_t begin = end;
			while (begin > 0 && strcmp(images->items[begin - 1].kind, images->items[end - 1].kind) == 0)
				begin--;
			struct image *image = end - begin > round ? &images->items[end - 1 - round] : NULL;
			any |= image != NULL;
			if (image && image->bytes <= budget && shown < SHOWN_MAX) {
				image->shown = true;
				budget -= image->bytes;
				shown++;
			}
			end = begin;
		}
	}
}

json_t *images_find(const struct run *run, size_t budget)
{
	struct images images = {0};
	walk(&images, run);
	choose(&images, budget);
	json_t *list = json_array();
	for (size_t i = 0; i < images.count; i++) {
		struct image *image = &images.items[i];
		autofree char *text = path_text_encode(image->path);
		json_array_append_new(
			list, mem_json("{s:s, s:I, s:s, s:b}", "path", text, "bytes", (json_int_t)image->bytes, "type",
				      image->type, "shown", (int)image->shown));
		free(image->path);
		free(image->kind);
	}
	free(images.items);
	return list;
}

// Outputs come from nodes: neither the file nor a directory above it may be a link to something that was not meant to
// be shown.
char *images_uri(const struct run *run, const json_t *image)
{
	autofree char *path = path_text_decode(json_text(image, "path"));
	const char *type = json_text(image, "type");
	size_t len = (size_t)json_integer_value(json_object_get(image, "bytes"));
	autoclose int dir = open(run->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	autoclose int fd =
		dir < 0 || !path ? -1 : fs_open_beneath(dir, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC, 0, NULL);
	if (fd < 0)
		return NULL;
	autofree unsigned char *bytes = mem_alloc(len + 1);
	size_t have = 0;
	for (ssize_t n; have < len && (n = read(fd, bytes + have, len - have)) > 0;)
		have += (size_t)n;
	for (size_t i = 0; i < countof(types); i++)
		if (have == len && strcmp(types[i].type, type) == 0 && len >= types[i].len &&
			memcmp(bytes, types[i].magic, types[i].len) == 0) {
			autofree char *letters = html_base64(bytes, len);
			return mem_printf("data:%s;base64,%s", type, letters);
		}
	return NULL;
}
