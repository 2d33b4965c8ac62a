// The sections of the report's page that are tables and bars: each appends itself, or nothing when there is nothing to
// show. What charts and images need is html's business.
#ifndef REPORT_SECTIONS_H
#define REPORT_SECTIONS_H

#include "base/str.h"

#include <jansson.h>

void sections_timeline(struct str *out, const json_t *report);
void sections_nodes(struct str *out, const json_t *report);
void sections_ranks(struct str *out, const json_t *report);
void sections_preflight(struct str *out, const json_t *report);
void sections_files(struct str *out, const json_t *report);   // inputs, setup, outputs
void sections_trouble(struct str *out, const json_t *report); // warnings, refused, receipt

#endif
