// Tables: a comparison as text for a terminal, as CSV, as JSON and as times.txt.
// It judges nothing: everything it shows is in the comparison's tree, as compare.h describes it.
#ifndef COMPARE_COMPARE_TABLE_H
#define COMPARE_COMPARE_TABLE_H

#include <jansson.h>

// Each is owned by the caller.
char *compare_table_text(const json_t *tree);
char *compare_table_csv(const json_t *tree); // with a line of names; numbers that are not known are empty
char *compare_table_json(const json_t *tree);
char *compare_table_times(const json_t *tree); // "NAME: SECONDS" for each cluster, the mean over its nodes

// What is to be known, a line each: what has no price, what was predicted and what came, why a time is to be trusted
// less, which runs failed.
char *compare_table_notes(const json_t *tree);

// A model of the tree as a formula, how many points it is from and how far off them: "18.4 s + 4.01 s / nodes, from 2
// numbers of nodes, ...".
char *compare_table_formula(const json_t *model);

#endif
