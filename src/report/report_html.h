// The report as one self-contained page: no network, no file beside it, works from disk.
// It judges nothing: everything it shows is in the report's tree, but for the bytes of images.
#ifndef REPORT_REPORT_HTML_H
#define REPORT_REPORT_HTML_H

#include "run/run.h"

#include <jansson.h>

// The page; run is where images are read from and may be NULL. Owned by the caller.
char *report_html_make(const json_t *report, const struct run *run);

#endif
