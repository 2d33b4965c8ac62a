#include "compare/compare_files.h"

#include "base/fs.h"
#include "base/mem.h"
#include "compare/compare_html.h"
#include "compare/compare_table.h"

#include <string.h>

static int write_file(const char *dir, const char *name, const char *text, struct error *err)
{
	autofree char *path = fs_join(dir, name);
	return fs_write(path, text, strlen(text), 0644, err);
}

int compare_files_write(const json_t *tree, const char *dir, struct error *err)
{
	autofree char *json = compare_table_json(tree), *csv = compare_table_csv(tree),
		      *times = compare_table_times(tree), *page = compare_html_html(tree);
	if (write_file(dir, "compare.json", json, err) < 0 || write_file(dir, "compare.csv", csv, err) < 0 ||
		write_file(dir, "times.txt", times, err) < 0)
		return -1;
	return write_file(dir, "compare.html", page, err);
}
