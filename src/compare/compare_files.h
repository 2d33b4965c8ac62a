// Writes a comparison in every format into a directory.
// The formats themselves are made by compare_table and compare_html.
#ifndef COMPARE_COMPARE_FILES_H
#define COMPARE_COMPARE_FILES_H

#include "base/error.h"

#include <jansson.h>

// Writes compare.json, compare.csv, compare.html and times.txt. The tree is the one that compare.h describes.
int compare_files_write(const json_t *tree, const char *dir, struct error *err);

#endif
