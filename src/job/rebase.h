// Rebase: the relative paths of a job file made absolute, so that the file can lie in another directory.
// It looks at no file, and leaves everything else as it is.
#ifndef JOB_REBASE_H
#define JOB_REBASE_H

#include "job/yaml.h"

// tree is a whole job file; dir the absolute directory in which it lay. What is wrong in it stays wrong.
void rebase_paths(struct yaml *tree, const char *dir);

#endif
