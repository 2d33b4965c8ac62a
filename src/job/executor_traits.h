// What executors differ in, as data: whoever reads a job file or makes a plan asks here, never for an executor by name.
// It makes no nodes: what an executor does is in exec/NAME.c, whose struct points to its row here.
#ifndef JOB_EXECUTOR_TRAITS_H
#define JOB_EXECUTOR_TRAITS_H

#include "base/error.h"

#include <stdbool.h>

struct executor_traits {
	const char *name;           // the value of `executor:` in a job file
	bool takes_hosts;           // the job names its nodes: `cluster.hosts`, `cluster.inventory`
	bool nodes_are_containers;  // nodes have images; ranks cannot be put into containers again
	bool builds_images;         // `cluster.build`
	bool mounts_volumes;        // `cluster.volumes`
	bool makes_pods;            // `cluster.kubernetes`
	bool sees_controller_files; // the paths of the controller's machine are there on the nodes: inputs may be live,
				    // volumes may be relative to the job file
};

extern const struct executor_traits executor_traits_local, executor_traits_ssh, executor_traits_docker,
	executor_traits_kubernetes;
// Of jobs on a cluster that is up (`muster run --on`): in no job file, so not in the table.
extern const struct executor_traits executor_traits_attached;

// The table, NULL-ended.
extern const struct executor_traits *const executor_traits_all[];

// NULL and err, which lists the known names, for an unknown one.
const struct executor_traits *executor_traits_find(const char *name, struct error *err);

// What a job file may say for one that takes hosts, whose nodes are containers, and so on: "'executor: ssh'", several
// with "or". Owned by the caller.
char *executor_traits_that_take_hosts(void);
char *executor_traits_with_containers(void);
char *executor_traits_that_build_images(void);
char *executor_traits_that_mount_volumes(void);
char *executor_traits_that_make_pods(void);

#endif
