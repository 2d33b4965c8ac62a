// The sections of the report's page that are tables and bars: each appends itself, or nothing when there is nothing to
// show. What charts and images need is html's business.
#ifndef REPORT_REPORT_HTML_SECTIONS_H
#define REPORT_REPORT_HTML_SECTIONS_H

#include "base/str.h"

#include <jansson.h>

void report_html_sections_timeline(struct str *out, const json_t *report);
void report_html_sections_nodes(struct str *out, const json_t *report);
void report_html_sections_ranks(struct str *out, const json_t *report);
void report_html_sections_preflight(struct str *out, const json_t *report);
void report_html_sections_files(struct str *out, const json_t *report);   // inputs, setup, outputs
void report_html_sections_trouble(struct str *out, const json_t *report); // warnings, refused, receipt

#endif
