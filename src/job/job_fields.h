// What a job file and a cluster file may say: structs, and the tables of keys that fill them.
// It reads no file and checks nothing that takes more than one key: job.c does.
#ifndef JOB_JOB_FIELDS_H
#define JOB_JOB_FIELDS_H

#include "job/executor_traits.h"
#include "job/field.h"

#include <jansson.h>
#include <stddef.h>

enum job_launch { JOB_NONE, JOB_TORCH, JOB_PS, JOB_MPI };
extern const char *const job_fields_launches[]; // their names, NULL-ended

enum job_mpi { JOB_MPI_AUTO, JOB_MPI_MPICH, JOB_MPI_OPENMPI };
extern const char *const job_fields_mpis[];

// As Kubernetes writes them.
extern const char *const job_fields_pull_policies[], *const job_fields_operators[], *const job_fields_effects[];
enum job_medium { JOB_DISK, JOB_MEMORY };
extern const char *const job_fields_media[];

// In all of these a number that was not given is -1 and a text NULL (see field.h).

struct job_role {
	struct field_place place; // its name is the role's
	long nodes;
	double cpus;
	long long memory;
	struct field_command command;
	char *image;
	struct field_env resources;
	int decides;
};

struct job_build {
	struct field_place place;
	char *context, *dockerfile;
	struct field_env args;
};

struct job_toleration {
	struct field_place place;
	char *key, *value;
	int op, effect; // of job_fields_operators, job_fields_effects
	double seconds;
};

struct job_empty_dir {
	struct field_place place;
	int medium; // of job_fields_media
	long long size;
};

// Of pods. One of the last five says what it is.
struct job_pod_volume {
	struct field_place place;
	char *name, *mount_path, *sub_path;
	int read_only;
	char *host_path, *claim, *config_map, *secret;
	struct job_empty_dir empty_dir; // place.node NULL: it is none
};

struct job_kubernetes {
	struct field_place place;
	char *context, *namespace, *queue, *scheduler_name, *priority_class, *service_account, *agent_image;
	struct field_texts image_pull_secrets;
	int image_pull_policy; // of job_fields_pull_policies
	int host_network;
	struct field_env node_selector, annotations, labels, resources;
	struct field_objects tolerations; // of struct job_toleration
	struct field_objects volumes;     // of struct job_pod_volume
	long long shm;
	struct yaml *pod; // see job/pod_overlay.h
};

struct job_cluster {
	struct field_place place;
	char *executor;
	const struct executor_traits *traits; // of the executor
	long nodes;                           // -1 when there are roles
	struct field_objects roles;           // of struct job_role, in the order of the file
	double cpus, lease;
	long long memory;
	char *image;
	struct job_build build; // context NULL: there is none
	struct field_texts volumes;
	struct job_kubernetes kubernetes;
	struct field_texts hosts; // as in job/hosts.h
	char *inventory, *group;
	long at_once;
	json_t *list; // the hosts themselves, from either; NULL when there are none
};

// A named list of commands of a cluster file.
struct job_action {
	struct field_place place;   // its name is the action's
	struct field_objects steps; // of struct job_step
};

struct job_step {
	struct field_place place;
	struct field_command run;
	char *name;
	int once;
};

struct job_input {
	struct field_place place;
	char *from, *sha256, *path, *name;
	int unpack, once, live;
};

struct job_mount {
	struct field_place place;
	char *type, *from, *to;
	struct field_texts options;
};

struct job_setup {
	struct field_place place;
	// One of these three.
	struct field_command run;
	struct field_texts packages;
	struct field_objects mounts; // of struct job_mount
	char *name, *creates;
	int once, become;
	double timeout;
	struct field_env env;
};

// What the ranks run in, on each node.
struct job_container {
	struct field_place place;
	char *image;            // one of these two
	struct job_build build; // context NULL: there is none
	struct field_texts volumes;
};

struct job_run {
	struct field_place place;
	int launch;                     // enum job_launch
	int mpi;                        // enum job_mpi
	struct job_container container; // place.node NULL: none
	struct field_command command;
	struct field_env env;
	long procs_per_node, retries;
	double timeout, grace;
};

struct job_metric {
	struct field_place place;
	char *name, *pattern, *unit;
};

struct job_progress {
	struct field_place place;
	char *pattern;
	long total, samples;
};

struct job_budget {
	struct field_place place;
	char *max_cost;
	double max_time;
};

struct job_expected {
	struct field_place place;
	double time, low, high;
	char *cost, *from;
};

struct job_stop {
	struct field_place place;
	long iterations;
	char *within; // "2%"
};

struct job_sweep {
	struct field_place place;
	struct yaml *over, *include, *exclude; // of the job's tree; checked by points.h
	long repeat, at_once, seed;
	struct job_stop stop;
};

struct job {
	struct field_place place;
	char *name; // never NULL: the file's when it is not given
	struct job_cluster cluster;
	struct field_objects inputs; // of struct job_input
	struct field_objects setup;  // of struct job_setup
	struct job_run run;
	struct field_objects metrics; // of struct job_metric
	struct job_progress progress;
	struct job_stop stop;
	struct job_sweep sweep;
	struct job_budget budget;
	struct job_expected expected;
	struct field_texts outputs;
	int preflight;
	struct field_objects actions; // of struct job_action; only of a cluster file
	int share;                    // with on: beside other jobs
	char *on;                     // the persistent cluster it runs on, or NULL; see job_on
	struct yaml *tree;            // what it was read from: the places in errors
	char **sources;               // the names that places point to
	size_t nsources;
};

// The tables of a job file, and of a cluster file (`name`, `cluster`, `actions`); both fill a struct job.
extern const struct field_shape job_fields_job, job_fields_cluster_file;

#endif
