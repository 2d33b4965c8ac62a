// A comparison as one self-contained page with plots and their numbers: no network, no script, no other file.
// It judges nothing: everything it shows is in the comparison's tree.
#ifndef COMPARE_COMPARE_HTML_H
#define COMPARE_COMPARE_HTML_H

#include <jansson.h>

// The page; tree as compare.h describes it, with "name". Owned by the caller.
char *compare_html_html(const json_t *tree);

#endif
