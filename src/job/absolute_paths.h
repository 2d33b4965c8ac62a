// The relative paths of a job file made absolute, so that the file can be put into another directory.
// It looks at no file, and leaves everything else as it is.
#ifndef JOB_ABSOLUTE_PATHS_H
#define JOB_ABSOLUTE_PATHS_H

#include "job/yaml.h"

// tree is a whole job file; dir the absolute directory in which it lay. What is wrong in it stays wrong.
void absolute_paths_apply(struct yaml *tree, const char *dir);

#endif
