// What nodes say, and what it means for the course of the run.
// It decides nothing by itself: course does.
#ifndef CONTROLLER_HEARING_H
#define CONTROLLER_HEARING_H

#include "controller/course.h"

extern const struct server_ops hearing_ops; // their data is the course

const char *hearing_signal(int sig); // "TERM"

#endif
