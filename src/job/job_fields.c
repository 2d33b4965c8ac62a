#include "job/job_fields.h"

#define NAME "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"
#define YEAR (365.0 * 86400)

const char *const job_fields_launches[] = {"none", "torch", "ps", "mpi", NULL};
const char *const job_fields_mpis[] = {"auto", "mpich", "openmpi", NULL};

#define ENV_NAME .pattern = "^[A-Za-z_][A-Za-z0-9_]*$", .expected = "letters, digits and '_', no digit first"
#define IMAGE_NAME "^[a-zA-Z0-9][a-zA-Z0-9._/:@-]{0,254}$"
#define IMAGE IMAGE_NAME, .expected = "the name of an image", .example = "debian:12"
#define VOLUME "^[^:]+:/[^:]*(:(ro|rw))?$", .expected = "HOST:CONTAINER, perhaps with ':ro' behind"

#define DNS_LABEL                                                                                                      \
	.pattern = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", .expected = "at most 63 lower-case letters, digits and '-'"
#define DNS_NAME                                                                                                       \
	.pattern = "^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$", .expected = "lower-case letters, digits, '-' and '.'"
#define LABEL_KEY                                                                                                      \
	.pattern = "^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$",          \
	.expected = "NAME or DOMAIN/NAME, a name of at most 63 letters, digits, '-', '_' and '.'"
#define LABEL_VALUE "^([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$"
#define LABEL_VALUES                                                                                                   \
	.values = LABEL_VALUE, .value_expected = "at most 63 letters, digits, '-', '_' and '.' ('' for an empty "      \
						 "value)"
#define SUB_PATH "^(?!/)(?!(.*/)?\\.\\.(/|$)).+$"
#define QUANTITIES                                                                                                     \
	.values = "^[0-9]+(\\.[0-9]+)?(([eE][+-]?[0-9]{1,3})|[numkMGTPE]|[KMGTPE]i)?$",                                \
	.value_expected = "a quantity such as 1 or 10Gi"

static const struct field role_fields[] = {
	{"nodes", FIELD_INT, offsetof(struct job_role, nodes), .required = true, .expected = "how many nodes", .min = 1,
		.max = 10000, .example = "2", .help = "The number of nodes with this role."},
	{"command", FIELD_COMMAND, offsetof(struct job_role, command), .example = "python server.py",
		.help = "The command of this role's ranks. Default: `run.command`."},
	{"decides", FIELD_BOOL, offsetof(struct job_role, decides), .example = "true",
		.help = "The run ends when all ranks of the deciding roles have ended. Default: with `launch: ps` only "
			"`worker` decides; otherwise every role decides, unless another role says `true`."},
	{"cpus", FIELD_CPUS, offsetof(struct job_role, cpus), .example = "500m",
		.help = "Like `cluster.cpus`, for this role."},
	{"memory", FIELD_BYTES, offsetof(struct job_role, memory), .example = "1Gi",
		.help = "Like `cluster.memory`, for this role."},
	{"image", FIELD_TEXT, offsetof(struct job_role, image), .pattern = IMAGE,
		.help = "Like `cluster.image`, for this role."},
	{"resources", FIELD_ENV, offsetof(struct job_role, resources), .max = 100, LABEL_KEY, QUANTITIES,
		.example = "{nvidia.com/gpu: 1}", .help = "Like `cluster.kubernetes.resources`, for this role."},
	{0},
};
static const struct field_shape role_shape = {sizeof(struct job_role), "nodes", role_fields, &job_fields_job};

static const struct field build_fields[] = {
	{"context", FIELD_TEXT, offsetof(struct job_build, context), .required = true, .expected = "a directory",
		.example = "image",
		.help = "The build context: a directory with a `Dockerfile`, relative to the job file. Files that its "
			"`.dockerignore` names are left out."},
	{"dockerfile", FIELD_TEXT, offsetof(struct job_build, dockerfile), .example = "Dockerfile.gpu",
		.help = "The Dockerfile, relative to the context. Default: `Dockerfile`."},
	{"args", FIELD_ENV, offsetof(struct job_build, args), .max = 100, ENV_NAME, .example = "{VERSION: \"12\"}",
		.help = "Values for the `ARG` instructions of the Dockerfile."},
	{0},
};
static const struct field_shape build_shape = {sizeof(struct job_build), "context", build_fields, &job_fields_job};

// --- pods ---------------------------------------------------------------------------

const char *const job_fields_pull_policies[] = {"Always", "IfNotPresent", "Never", NULL};
const char *const job_fields_operators[] = {"Equal", "Exists", NULL};
const char *const job_fields_effects[] = {"NoSchedule", "PreferNoSchedule", "NoExecute", NULL};
const char *const job_fields_media[] = {"disk", "memory", NULL};

static const struct field toleration_fields[] = {
	{"key", FIELD_TEXT, offsetof(struct job_toleration, key), LABEL_KEY, .example = "nvidia.com/gpu",
		.help = "The key of the taint. Default: every key, with `operator: Exists`."},
	{"operator", FIELD_CHOICE, offsetof(struct job_toleration, op), .choices = job_fields_operators,
		.fallback = "Equal", .example = "Exists",
		.help = "With `Exists` the taint may have any value; with `Equal` it has that of `value`."},
	{"value", FIELD_TEXT, offsetof(struct job_toleration, value), .pattern = LABEL_VALUE,
		.expected = "at most 63 letters, digits, '-', '_' and '.'", .example = "training",
		.help = "The value of the taint. Default: the empty value."},
	{"effect", FIELD_CHOICE, offsetof(struct job_toleration, effect), .choices = job_fields_effects,
		.example = "NoSchedule", .help = "The effect of the taint. Default: every effect."},
	{"toleration_seconds", FIELD_SECONDS, offsetof(struct job_toleration, seconds), .max = YEAR, .example = "60",
		.help = "With `effect: NoExecute`: how long the pods stay on a node that gets the taint. Default: "
			"without end."},
	{0},
};
static const struct field_shape toleration_shape = {
	sizeof(struct job_toleration), NULL, toleration_fields, &job_fields_job};

static const struct field empty_dir_fields[] = {
	{"medium", FIELD_CHOICE, offsetof(struct job_empty_dir, medium), .choices = job_fields_media,
		.fallback = "disk", .example = "memory",
		.help = "Where the files are. What is in memory counts against the pod's memory limit."},
	{"size", FIELD_BYTES, offsetof(struct job_empty_dir, size), .example = "10Gi",
		.help = "The maximum size. Default: no limit."},
	{0},
};
static const struct field_shape empty_dir_shape = {
	sizeof(struct job_empty_dir), "medium", empty_dir_fields, &job_fields_job};

static const struct field pod_volume_fields[] = {
	{"name", FIELD_TEXT, offsetof(struct job_pod_volume, name), DNS_LABEL, .example = "logs",
		.help = "The name of the volume in the pod. Default: `volume-N`, N from 0."},
	{"mount_path", FIELD_TEXT, offsetof(struct job_pod_volume, mount_path), .required = true,
		.pattern = "^(/(?!\\.\\.?(/|$))[^/:\\n]+)+$", .expected = "an absolute path without ':' and '..'",
		.example = "/logs", .help = "Where the container has it."},
	{"sub_path", FIELD_TEXT, offsetof(struct job_pod_volume, sub_path), .pattern = SUB_PATH,
		.expected = "a relative path without '..'", .example = "mnist",
		.help = "Only this file or directory of the volume. Default: the whole volume."},
	{"read_only", FIELD_BOOL, offsetof(struct job_pod_volume, read_only), .fallback = "false", .example = "true",
		.help = "Mount it for reading only."},
	{"host_path", FIELD_TEXT, offsetof(struct job_pod_volume, host_path), .pattern = "^/.*$",
		.expected = "an absolute path", .example = "/srv/logs",
		.help = "A file or directory of the machine that the pod is on. A namespace with the profile "
			"*baseline* or *restricted* refuses it."},
	{"claim", FIELD_TEXT, offsetof(struct job_pod_volume, claim), DNS_NAME, .example = "datasets",
		.help = "A PersistentVolumeClaim of the namespace."},
	{"empty_dir", FIELD_OBJECT, offsetof(struct job_pod_volume, empty_dir), .shape = &empty_dir_shape,
		.help = "An empty directory that goes with the pod: `disk`, `memory`, or a map that sets more."},
	{"config_map", FIELD_TEXT, offsetof(struct job_pod_volume, config_map), DNS_NAME, .example = "settings",
		.help = "A ConfigMap of the namespace; each key is a file."},
	{"secret", FIELD_TEXT, offsetof(struct job_pod_volume, secret), DNS_NAME, .example = "credentials",
		.help = "A Secret of the namespace; each key is a file."},
	{0},
};
static const struct field_shape pod_volume_shape = {
	sizeof(struct job_pod_volume), NULL, pod_volume_fields, &job_fields_job};

static const struct field kubernetes_fields[] = {
	{"context", FIELD_TEXT, offsetof(struct job_kubernetes, context), .example = "prod",
		.help = "The context of the kubeconfig. Default: its current context."},
	{"namespace", FIELD_TEXT, offsetof(struct job_kubernetes, namespace), DNS_LABEL, .example = "training",
		.help = "The namespace of the pods. Default: the namespace of the context, or `default`."},
	{"queue", FIELD_TEXT, offsetof(struct job_kubernetes, queue), DNS_LABEL, .example = "team-a",
		.help = "The local queue of Kueue, which starts the pods when there is room for them."},
	{"scheduler_name", FIELD_TEXT, offsetof(struct job_kubernetes, scheduler_name), DNS_NAME, .example = "volcano",
		.help = "The scheduler of the pods. Default: the cluster's."},
	{"priority_class", FIELD_TEXT, offsetof(struct job_kubernetes, priority_class), DNS_NAME, .example = "batch",
		.help = "The PriorityClass of the pods."},
	{"service_account", FIELD_TEXT, offsetof(struct job_kubernetes, service_account), DNS_NAME,
		.example = "trainer",
		.help = "The ServiceAccount of the pods; its token is mounted. Default: `default`, without a token."},
	{"image_pull_secrets", FIELD_TEXTS, offsetof(struct job_kubernetes, image_pull_secrets), .max = 100, DNS_NAME,
		.example = "[registry]", .help = "The Secrets with which images are pulled."},
	{"image_pull_policy", FIELD_CHOICE, offsetof(struct job_kubernetes, image_pull_policy),
		.choices = job_fields_pull_policies, .example = "IfNotPresent",
		.help = "When the image is pulled. Default: `Always` for the tag `latest`, else `IfNotPresent`."},
	{"node_selector", FIELD_ENV, offsetof(struct job_kubernetes, node_selector), .max = 100, LABEL_KEY,
		LABEL_VALUES, .example = "{disk: ssd}", .help = "The labels that the machines of the pods must have."},
	{"tolerations", FIELD_OBJECTS, offsetof(struct job_kubernetes, tolerations), .max = 100,
		.shape = &toleration_shape, .help = "The taints of machines that the pods tolerate."},
	{"annotations", FIELD_ENV, offsetof(struct job_kubernetes, annotations), .max = 1000, LABEL_KEY,
		.example = "{team/contact: me}", .help = "Additional annotations of the Jobs and their pods."},
	{"labels", FIELD_ENV, offsetof(struct job_kubernetes, labels), .max = 100, LABEL_KEY, LABEL_VALUES,
		.example = "{team: a}", .help = "Additional labels of the Jobs and their pods."},
	{"host_network", FIELD_BOOL, offsetof(struct job_kubernetes, host_network), .fallback = "false",
		.example = "true",
		.help = "Use the network of the machines instead of the cluster's. At most one pod of the run is then "
			"on each machine."},
	{"resources", FIELD_ENV, offsetof(struct job_kubernetes, resources), .max = 100, LABEL_KEY, QUANTITIES,
		.example = "{nvidia.com/gpu: 1}",
		.help = "Resources of each pod besides `cpus` and `memory`: requests and limits."},
	{"shm", FIELD_BYTES, offsetof(struct job_kubernetes, shm), .example = "4Gi",
		.help = "The size of `/dev/shm`. What is in it counts against the pod's memory limit. Default: 1Gi."},
	{"volumes", FIELD_OBJECTS, offsetof(struct job_kubernetes, volumes), .max = 100, .shape = &pod_volume_shape,
		.help = "Volumes to mount in every pod."},
	{"agent_image", FIELD_TEXT, offsetof(struct job_kubernetes, agent_image), .pattern = IMAGE_NAME,
		.expected = "the name of an image", .example = "registry.example.org/muster-agent:1",
		.help = "An image with the agent, for an init container that brings it. Default: the agent comes in "
			"ConfigMaps."},
	{"pod", FIELD_TREE, offsetof(struct job_kubernetes, pod), .expected = "map with [`metadata` and `spec`](#pod)",
		.example = "{spec: {dnsPolicy: Default}}",
		.help = "What the pods have besides, as in a pod template; it is merged last."},
	{0},
};
static const struct field_shape kubernetes_shape = {
	sizeof(struct job_kubernetes), NULL, kubernetes_fields, &job_fields_job};

// --- the cluster --------------------------------------------------------------------

static const struct field cluster_fields[] = {
	{"executor", FIELD_TEXT, offsetof(struct job_cluster, executor), .fallback = "local",
		.pattern = "^[a-z][a-z0-9-]{0,30}$", .expected = "the name of an executor", .example = "local",
		.help = "What creates the nodes. `muster doctor` lists the executors."},
	{"nodes", FIELD_INT, offsetof(struct job_cluster, nodes), .min = 1, .max = 10000, .example = "4",
		.help = "The number of nodes, all with the role `worker`. Cannot be combined with `roles`. Default: "
			"the number of hosts, or 1 without hosts."},
	{"roles", FIELD_NAMED, offsetof(struct job_cluster, roles), .max = 100, .shape = &role_shape, .pattern = NAME,
		.expected = "a name of lower-case letters, digits and '-'", .example = "{ps: 1, worker: 2}",
		.help = "The roles and their nodes, in this order. A number is the number of nodes; a map sets more."},
	{"cpus", FIELD_CPUS, offsetof(struct job_cluster, cpus), .example = "200m",
		.help = "The CPU limit of each node. Default: no limit."},
	{"memory", FIELD_BYTES, offsetof(struct job_cluster, memory), .example = "125Mi",
		.help = "The memory limit of each node. Default: no limit."},
	{"lease", FIELD_SECONDS, offsetof(struct job_cluster, lease), .min = 5, .max = YEAR, .example = "2h",
		.help = "How long a node that cannot reach its controller keeps running. Default: the site file's "
			"value, or 30s; with `launch: mpi` three heartbeats (15s); 1h for a persistent cluster."},
	{"image", FIELD_TEXT, offsetof(struct job_cluster, image), .pattern = IMAGE,
		.help = "With `executor: docker` or `kubernetes`: the image of the containers. Docker pulls it only "
			"when the engine does not have it."},
	{"build", FIELD_OBJECT, offsetof(struct job_cluster, build), .shape = &build_shape,
		.help = "With `executor: docker`: build the image first, from a directory or from a map that sets "
			"more."},
	{"volumes", FIELD_TEXTS, offsetof(struct job_cluster, volumes), .max = 100, .pattern = VOLUME,
		.example = "[/srv/data:/data:ro]",
		.help = "With `executor: docker`: directories of the engine's machine, or named volumes, to mount in "
			"every container."},
	{"kubernetes", FIELD_OBJECT, offsetof(struct job_cluster, kubernetes), .shape = &kubernetes_shape,
		.help = "With `executor: kubernetes`: where the pods are, and what they have."},
	{"hosts", FIELD_TEXTS, offsetof(struct job_cluster, hosts), .max = 10000,
		.example = "[a, \"user@b:2222\", \"node[0-15]\"]",
		.help = "With `executor: ssh`: the hosts, one for each node, in this order. Each is a name from the "
			"ssh configuration "
			"or an address, with an optional user and port. Ranges in brackets are expanded."},
	{"inventory", FIELD_TEXT, offsetof(struct job_cluster, inventory), .example = "hosts.ini",
		.help = "With `executor: ssh`: an Ansible inventory (INI or YAML) with the hosts, relative to the job "
			"file. Cannot be "
			"combined with `hosts`."},
	{"group", FIELD_TEXT, offsetof(struct job_cluster, group), .example = "workers",
		.help = "With `executor: ssh`: the inventory group to use. Default: all hosts of the inventory."},
	{"at_once", FIELD_INT, offsetof(struct job_cluster, at_once), .min = 1, .max = 1000, .example = "16",
		.help = "With `executor: ssh` or `kubernetes`: the number of nodes to connect to at the same time. "
			"Default: 32."},
	{0},
};
static const struct field_shape cluster_shape = {sizeof(struct job_cluster), NULL, cluster_fields, &job_fields_job};

static const struct field input_fields[] = {
	{"from", FIELD_TEXT, offsetof(struct job_input, from), .required = true, .expected = "a path or an address",
		.example = "data/train.tar.gz",
		.help = "The source: a file or directory on this machine (relative to the job file), an `http://` or "
			"`https://` URL, or a git repository (`git+https://HOST/PATH#REF`)."},
	{"sha256", FIELD_TEXT, offsetof(struct job_input, sha256), .pattern = "^[0-9a-fA-F]{64}$",
		.expected = "64 hexadecimal digits",
		.example = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
		.help = "The expected SHA-256 of the file. The run fails before any rank starts when it differs."},
	{"unpack", FIELD_BOOL, offsetof(struct job_input, unpack), .fallback = "false", .example = "true",
		.help = "Unpack the archive: tar (plain, gz, xz, zst, bz2) or zip."},
	{"path", FIELD_TEXT, offsetof(struct job_input, path), .example = "train",
		.help = "The destination below `{data}`. Default: the last part of `from`, or `.` when the archive is "
			"unpacked."},
	{"once", FIELD_BOOL, offsetof(struct job_input, once), .fallback = "false", .example = "true",
		.help = "Keep one copy for all nodes that share a file system."},
	{"live", FIELD_BOOL, offsetof(struct job_input, live), .fallback = "false", .example = "true",
		.help = "Use the directory or file itself instead of a copy. Changes on this machine are visible on "
			"all nodes at once, and the other way round."},
	{"name", FIELD_TEXT, offsetof(struct job_input, name), .example = "training data",
		.help = "The name in messages. Default: the last part of `from`."},
	{0},
};
static const struct field_shape input_shape = {sizeof(struct job_input), "from", input_fields, &job_fields_job};

static const struct field mount_fields[] = {
	{"type", FIELD_TEXT, offsetof(struct job_mount, type), .fallback = "nfs4", .pattern = "^[a-z0-9][a-z0-9._-]*$",
		.expected = "a type of file system", .example = "nfs4",
		.help = "The file system type, as in `mount -t`."},
	{"from", FIELD_TEXT, offsetof(struct job_mount, from), .required = true, .pattern = "^[^-].*$",
		.expected = "what to mount", .example = "10.0.0.9:/export", .help = "The file system to mount."},
	{"to", FIELD_TEXT, offsetof(struct job_mount, to), .required = true,
		.pattern = "^(/(?!\\.\\.?(/|$))[^/{}\\n]+)+$", .expected = "an absolute path", .example = "/mnt/data",
		.help = "The mount point, an absolute path. Missing directories are created."},
	{"options", FIELD_TEXTS, offsetof(struct job_mount, options), .max = 100, .pattern = "^[^-,\\n][^,\\n]*$",
		.expected = "one option", .example = "[vers=4.1, hard, noresvport]",
		.help = "The mount options, as in `mount -o`."},
	{0},
};
static const struct field_shape mount_shape = {sizeof(struct job_mount), NULL, mount_fields, &job_fields_job};

static const struct field setup_fields[] = {
	{"run", FIELD_COMMAND, offsetof(struct job_setup, run), .example = "tar xf {data}/words.tar",
		.help = "The command to run on each node. The run fails when it fails."},
	{"packages", FIELD_TEXTS, offsetof(struct job_setup, packages), .max = 1000,
		.pattern = "^[A-Za-z0-9][A-Za-z0-9+._:=~^-]*$", .expected = "the name of a package",
		.example = "[docker.io, nfs-common]",
		.help = "Instead of `run`: packages that each node needs, installed as root with apt-get, dnf or apk."},
	{"mounts", FIELD_OBJECTS, offsetof(struct job_setup, mounts), .max = 100, .shape = &mount_shape,
		.help = "Instead of `run`: file systems to mount as root until the run ends. Each is a step of its "
			"own."},
	{"name", FIELD_TEXT, offsetof(struct job_setup, name), .example = "unpack the words",
		.help = "The name in messages. Default: the beginning of the command."},
	{"once", FIELD_BOOL, offsetof(struct job_setup, once), .fallback = "false", .example = "true",
		.help = "Run the step only on node 0; the other nodes wait."},
	{"become", FIELD_BOOL, offsetof(struct job_setup, become), .fallback = "false", .example = "true",
		.help = "Run the step as root: with `sudo -n`, unless the user of the node is root. Packages and "
			"mounts always run as root."},
	{"creates", FIELD_TEXT, offsetof(struct job_setup, creates), .example = "/opt/tool/bin/tool",
		.help = "Skip the step when this path exists. A relative path starts at `{out}`."},
	{"timeout", FIELD_SECONDS, offsetof(struct job_setup, timeout), .max = YEAR, .fallback = "0", .example = "10m",
		.help = "The step fails when it takes longer. 0: no limit."},
	{"env", FIELD_ENV, offsetof(struct job_setup, env), .max = 1000, ENV_NAME, .example = "{LANG: C}",
		.help = "Additional environment variables of the command."},
	{0},
};
static const struct field_shape setup_shape = {sizeof(struct job_setup), "run", setup_fields, &job_fields_job};

static const struct field container_fields[] = {
	{"image", FIELD_TEXT, offsetof(struct job_container, image), .pattern = IMAGE,
		.help = "The image of the container. It is pulled only when the node's engine does not have it."},
	{"build", FIELD_OBJECT, offsetof(struct job_container, build), .shape = &build_shape,
		.help = "Instead of `image`: build the image on the nodes, from a directory or from a map that sets "
			"more."},
	{"volumes", FIELD_TEXTS, offsetof(struct job_container, volumes), .max = 100, .pattern = VOLUME,
		.example = "[/srv/data:/data:ro]",
		.help = "Directories of the node, or named volumes of its engine, to mount in the container."},
	{0},
};
static const struct field_shape container_shape = {
	sizeof(struct job_container), "image", container_fields, &job_fields_job};

static const struct field run_fields[] = {
	{"launch", FIELD_CHOICE, offsetof(struct job_run, launch), .choices = job_fields_launches, .fallback = "none",
		.example = "torch", .help = "The launch mode: how the ranks find each other."},
	{"mpi", FIELD_CHOICE, offsetof(struct job_run, mpi), .choices = job_fields_mpis, .fallback = "auto",
		.example = "openmpi",
		.help = "With `launch: mpi`: the MPI family of the program. With `auto`, muster looks at the libraries "
			"of the program, and otherwise chooses Open MPI where `mpirun` on node 0 is Open MPI's."},
	{"container", FIELD_OBJECT, offsetof(struct job_run, container), .shape = &container_shape,
		.help = "Run the ranks in a container of each node's Docker Engine: an image, or a map that sets "
			"more."},
	{"command", FIELD_COMMAND, offsetof(struct job_run, command),
		.example = "[python, train.py, --rank, \"{rank}\"]",
		.help = "The command of each rank. A string is passed to `/bin/sh -c`; a list is the program and its "
			"arguments. Required unless every role has its own command."},
	{"env", FIELD_ENV, offsetof(struct job_run, env), .max = 1000, ENV_NAME, .example = "{LR: \"0.01\"}",
		.help = "Additional environment variables of each rank. They override those of the launch mode. Names "
			"that begin with `MUSTER_` are refused."},
	{"procs_per_node", FIELD_INT, offsetof(struct job_run, procs_per_node), .min = 1, .max = 1024, .fallback = "1",
		.example = "2", .help = "The number of ranks on each node."},
	{"timeout", FIELD_SECONDS, offsetof(struct job_run, timeout), .max = YEAR, .fallback = "0", .example = "2h",
		.help = "The run fails when its ranks take longer. 0: no limit."},
	{"retries", FIELD_INT, offsetof(struct job_run, retries), .min = 0, .max = 100, .fallback = "0", .example = "1",
		.help = "How many times the ranks are restarted after one of them failed."},
	{"grace", FIELD_SECONDS, offsetof(struct job_run, grace), .min = 0, .max = 3600, .example = "10s",
		.help = "The time between SIGTERM and SIGKILL when a rank is stopped. Default: the site file's value, "
			"or 5s."},
	{0},
};
static const struct field_shape run_shape = {sizeof(struct job_run), NULL, run_fields, &job_fields_job};

static const struct field metric_fields[] = {
	{"name", FIELD_TEXT, offsetof(struct job_metric, name), .required = true,
		.pattern = "^[A-Za-z0-9_][A-Za-z0-9_.()/ -]{0,99}$",
		.expected = "a name of letters, digits, blanks and _ . ( ) / -", .example = "loss",
		.help = "The name in the report."},
	{"pattern", FIELD_REGEX, offsetof(struct job_metric, pattern), .required = true,
		.expected = "a regular expression with a group", .example = "'loss: ([0-9.]+)'",
		.help = "A PCRE2 regular expression that is matched against each line of output. The group named "
			"`value`, or else the first group, is the number. A group named `step` is the step."},
	{"unit", FIELD_TEXT, offsetof(struct job_metric, unit), .example = "s", .help = "The unit in the report."},
	{0},
};
static const struct field_shape metric_shape = {sizeof(struct job_metric), NULL, metric_fields, &job_fields_job};

static const struct field progress_fields[] = {
	{"pattern", FIELD_REGEX, offsetof(struct job_progress, pattern),
		.expected = "a regular expression with a group", .example = "'batch (?<done>\\d+) of (?<total>\\d+)'",
		.help = "A PCRE2 regular expression for the line that each iteration prints. The group named `done`, "
			"or else the first group, is the number of completed iterations. The groups `total`, `epoch` "
			"and `epochs` are optional. Default: the common formats are recognized."},
	{"total", FIELD_INT, offsetof(struct job_progress, total), .min = 1, .max = 1e12, .example = "7820",
		.help = "The number of iterations of the whole run, when the lines do not say it."},
	{"samples", FIELD_INT, offsetof(struct job_progress, samples), .min = 1, .max = 1e12, .example = "128",
		.help = "The number of samples that one rank processes in one iteration (the batch size), for rates."},
	{0},
};
static const struct field_shape progress_shape = {
	sizeof(struct job_progress), "pattern", progress_fields, &job_fields_job};

static const struct field stop_fields[] = {
	{"iterations", FIELD_INT, offsetof(struct job_stop, iterations), .min = 2, .max = 1e12, .example = "20",
		.help = "Stop after this many iterations."},
	{"within", FIELD_TEXT, offsetof(struct job_stop, within), .pattern = "^[0-9]{1,2}(\\.[0-9]{1,6})?%$",
		.expected = "a percentage above 0 and below 100, such as 2%", .example = "2%",
		.help = "Stop when the total time is known to within this much either way."},
	{0},
};
static const struct field_shape stop_shape = {sizeof(struct job_stop), NULL, stop_fields, &job_fields_job};

#define PRICE .pattern = "^[0-9]{1,9}(\\.[0-9]{1,9})?$", .expected = "a number such as 5.00"

static const struct field budget_fields[] = {
	{"max_time", FIELD_SECONDS, offsetof(struct job_budget, max_time), .min = 1, .max = YEAR, .example = "2h",
		.help = "The maximum duration of the run, from the first node to the last output."},
	{"max_cost", FIELD_TEXT, offsetof(struct job_budget, max_cost), PRICE, .example = "5.00",
		.help = "The maximum cost of the run, in the currency of the price file."},
	{0},
};
static const struct field_shape budget_shape = {sizeof(struct job_budget), NULL, budget_fields, &job_fields_job};

static const struct field expected_fields[] = {
	{"time", FIELD_SECONDS, offsetof(struct job_expected, time), .max = YEAR, .example = "93.5",
		.help = "The predicted run time of the program."},
	{"low", FIELD_SECONDS, offsetof(struct job_expected, low), .max = YEAR, .example = "92",
		.help = "The lower end of its 95 % interval."},
	{"high", FIELD_SECONDS, offsetof(struct job_expected, high), .max = YEAR, .example = "95",
		.help = "The upper end of its 95 % interval."},
	{"cost", FIELD_TEXT, offsetof(struct job_expected, cost), PRICE, .example = "0.42",
		.help = "The predicted cost of the whole run."},
	{"from", FIELD_TEXT, offsetof(struct job_expected, from), .example = "dcgan-1f2e3d4c",
		.help = "The sweep that the prediction comes from."},
	{0},
};
static const struct field_shape expected_shape = {sizeof(struct job_expected), NULL, expected_fields, &job_fields_job};

static const struct field sweep_fields[] = {
	{"over", FIELD_TREE, offsetof(struct job_sweep, over), .expected = "map of lists",
		.example = "{cluster.nodes: [1, 2, 4], cluster.cpus: [500m, 1]}",
		.help = "Keys of this file and the values to try. Every combination is a point."},
	{"include", FIELD_TREE, offsetof(struct job_sweep, include), .expected = "list of maps",
		.example = "[{cluster.nodes: 8, cluster.cpus: 2}]",
		.help = "Additional points: keys with one value each."},
	{"exclude", FIELD_TREE, offsetof(struct job_sweep, exclude), .expected = "list of maps",
		.example = "[{cluster.nodes: 4, cluster.cpus: 1}]",
		.help = "Combinations to leave out: every point that has these values."},
	{"repeat", FIELD_INT, offsetof(struct job_sweep, repeat), .min = 1, .max = 1000, .fallback = "1",
		.example = "3", .help = "How many times each point is run."},
	{"at_once", FIELD_INT, offsetof(struct job_sweep, at_once), .min = 1, .max = 1000, .fallback = "1",
		.example = "2", .help = "The number of points that run at the same time."},
	{"seed", FIELD_INT, offsetof(struct job_sweep, seed), .min = 0, .max = 1e9, .fallback = "1", .example = "7",
		.help = "The seed of the shuffled order. Shuffling keeps a machine that slows down over time from "
			"favouring a point."},
	{"stop", FIELD_OBJECT, offsetof(struct job_sweep, stop), .shape = &stop_shape,
		.help = "Like `stop`, for the runs of the sweep."},
	{0},
};
static const struct field_shape sweep_shape = {sizeof(struct job_sweep), NULL, sweep_fields, &job_fields_job};

static const struct field job_fields[] = {
	{"name", FIELD_TEXT, offsetof(struct job, name), .pattern = "^[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?$",
		.expected = "at most 40 lower-case letters, digits and '-'", .example = "dcgan",
		.help = "The job's name, with which the run's id begins. Default: the name of the file."},
	{"cluster", FIELD_OBJECT, offsetof(struct job, cluster), .shape = &cluster_shape, .help = "The nodes."},
	{"inputs", FIELD_OBJECTS, offsetof(struct job, inputs), .max = 1000, .shape = &input_shape,
		.help = "Files that each node gets before the job starts: paths, URLs, or maps that set more."},
	{"setup", FIELD_OBJECTS, offsetof(struct job, setup), .max = 1000, .shape = &setup_shape,
		.help = "Steps that each node runs before the job starts: commands, or maps that set more."},
	{"run", FIELD_OBJECT, offsetof(struct job, run), .required = true,
		.expected = "a map with at least a 'command'", .shape = &run_shape, .help = "The ranks."},
	{"metrics", FIELD_OBJECTS, offsetof(struct job, metrics), .max = 100, .shape = &metric_shape,
		.help = "Numbers to read from the output."},
	{"progress", FIELD_OBJECT, offsetof(struct job, progress), .shape = &progress_shape,
		.help = "How the program reports the iteration it has completed."},
	{"stop", FIELD_OBJECT, offsetof(struct job, stop), .shape = &stop_shape,
		.help = "End the run successfully as soon as its total time can be predicted."},
	{"sweep", FIELD_OBJECT, offsetof(struct job, sweep), .shape = &sweep_shape,
		.help = "For `muster sweep`: the same job with different settings."},
	{"budget", FIELD_OBJECT, offsetof(struct job, budget), .shape = &budget_shape,
		.help = "Limits on the time and cost of the run. The run is stopped gracefully when it cannot stay "
			"within them."},
	{"expected", FIELD_OBJECT, offsetof(struct job, expected), .shape = &expected_shape,
		.help = "The prediction of `muster choose`, for `muster compare`."},
	{"outputs", FIELD_TEXTS, offsetof(struct job, outputs), .max = 1000,
		.example = "[\"*.png\", \"checkpoints/**\"]",
		.help = "Files to collect: glob patterns relative to `{out}`, the directory in which the ranks "
			"start."},
	{"preflight", FIELD_BOOL, offsetof(struct job, preflight), .fallback = "true", .example = "false",
		.help = "Check that every pair of nodes can communicate before the job starts."},
	{0},
};
const struct field_shape job_fields_job = {sizeof(struct job), NULL, job_fields, NULL};

// --- the cluster file ---------------------------------------------------------------

static const struct field step_fields[] = {
	{"run", FIELD_COMMAND, offsetof(struct job_step, run), .required = true,
		.example = "apt-get install -y {package}",
		.help = "The command to run on all nodes at the same time. `{x}` is replaced by the value of `--set "
			"x=VALUE`."},
	{"name", FIELD_TEXT, offsetof(struct job_step, name), .example = "install", .help = "The name in messages."},
	{"once", FIELD_BOOL, offsetof(struct job_step, once), .fallback = "false", .example = "true",
		.help = "Run the command only on node 0."},
	{0},
};
static const struct field_shape step_shape = {sizeof(struct job_step), "run", step_fields, &job_fields_cluster_file};

static const struct field action_fields[] = {
	{"steps", FIELD_OBJECTS, offsetof(struct job_action, steps), .required = true, .expected = "a list of commands",
		.max = 1000, .shape = &step_shape, .help = "The commands, in this order."},
	{0},
};
static const struct field_shape action_shape = {
	sizeof(struct job_action), "steps", action_fields, &job_fields_cluster_file};

static const struct field file_fields[] = {
	{"name", FIELD_TEXT, offsetof(struct job, name), .pattern = "^[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?$",
		.expected = "at most 40 lower-case letters, digits and '-'", .example = "lab",
		.help = "The name of the cluster. Default: the name of the file."},
	{"cluster", FIELD_OBJECT, offsetof(struct job, cluster), .shape = &cluster_shape, .help = "The nodes."},
	{"actions", FIELD_NAMED, offsetof(struct job, actions), .max = 100, .shape = &action_shape, .pattern = NAME,
		.expected = "a name of lower-case letters, digits and '-'",
		.example = "{install: [\"apt-get install -y {package}\"]}",
		.help = "Named lists of commands for `muster action`."},
	{0},
};
const struct field_shape job_fields_cluster_file = {sizeof(struct job), NULL, file_fields, NULL};
