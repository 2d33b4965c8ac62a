// A run packed into one file, a bundle: job, plan, inputs, output, machines, so that it can be repeated and
// compared. It runs nothing.
//
//   A tar archive of ID/ with bundle.json first:
//   {"bundle": 1, "id", "muster", "exported", "outcome", "seconds", "machines": [facts of each node], "inputs":
//       [{"node", "name", "from", "sha256", "bytes",
//    "commit"}], "files": [{"path", "bytes", "sha256"} or {"path", "link"}]}
//   Paths and links are written as base/path_text.h says.
#ifndef REPORT_BUNDLE_H
#define REPORT_BUNDLE_H

#include "base/error.h"
#include "run/run.h"

#include <jansson.h>

// Writes the bundle of a run that is over to path, beside and renamed.
int bundle_write(const struct run *run, const char *path, struct error *err);

// Unpacks the bundle at path below dir (which must exist) and checks every file against its sum. The tree of
// bundle.json, owned by the caller; the run's directory is dir/ID. NULL and err when it is not a bundle, or not as it
// was written.
json_t *bundle_open(const char *path, const char *dir, struct error *err);

// What is not as it was then: an array of texts about inputs, the version and machines, of two trees like bundle.json.
// Owned by the caller.
json_t *bundle_differences(const json_t *then, const json_t *now);

// The tree of bundle.json of a run directory, without "files". Owned by the caller; NULL and err.
json_t *bundle_describe(const struct run *run, struct error *err);

#endif
