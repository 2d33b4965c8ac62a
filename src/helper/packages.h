// Packages of the node's distribution, installed by the package manager that is found there: apt-get, dnf or apk.
// It removes none. Only for a process that does a setup step (helper/setup_step.h): it blocks.
#ifndef HELPER_PACKAGES_H
#define HELPER_PACKAGES_H

#include <jansson.h>
#include <stdbool.h>

// Are all of them (an array of names) installed? Needs no rights.
bool packages_are_there(const json_t *names);

// Installs them, as root; waits for other package managers to finish. Output to standard output. Returns the exit
// status of what failed, or 0.
int packages_install(const json_t *names);

#endif
