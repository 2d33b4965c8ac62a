# What every end-to-end test on Kubernetes stands on: tests/e2e/lib.sh, and a namespace of the test's own on the cluster in KUBE_DIR (cluster
# up; make check-kube has one for all), in which nothing may be left when the test calls done_testing. KUBECONFIG names that namespace.
# shellcheck shell=bash

: "${KUBE_DIR:?a cluster: see tests/kube/cluster, or run make check-kube}"
KUBE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=SCRIPTDIR/../e2e/lib.sh
. "$KUBE/../e2e/lib.sh" || exit 1
# shellcheck source=SCRIPTDIR/../e2e/image.sh
. "$KUBE/../e2e/image.sh"
# shellcheck disable=SC2034 # of the last muster: see there
status='' out='' err='' started=''
KUBE_PROGRAMS=$(sed -n 's/^programs=//p' "$KUBE_DIR/settings")
# shellcheck disable=SC2034 # used by the tests
KUBE_NAME=$(sed -n 's/^name=//p' "$KUBE_DIR/settings") # node N is called $KUBE_NAME-N
export KUBE_DIR
PATH=$PATH:$KUBE_PROGRAMS

kubectl()
{
	"$KUBE_PROGRAMS/kubectl" "$@"
}

helm()
{
	HELM_CACHE_HOME=$SCRATCH/helm HELM_CONFIG_HOME=$SCRATCH/helm HELM_DATA_HOME=$SCRATCH/helm "$KUBE_PROGRAMS/helm" "$@"
}

cluster() # the commands of tests/kube/cluster, for this cluster
{
	"$KUBE/cluster" "$@"
}

# --- namespaces ---------------------------------------------------------------

kube_config() # NAMESPACE FILE: the administrator's configuration, in that namespace
{
	sed "s/user: admin}/user: admin, namespace: $1}/" "$KUBE_DIR/admin.kubeconfig" >"$2"
	chmod 600 "$2"
}

kube_namespace() # NAME [LABEL=VALUE...]: one more, which goes in the end
{
	local name=$1
	shift
	kubectl create namespace "$name" >/dev/null || { echo "Bail out! no namespace $name"; exit 1; }
	CLEANUP="${CLEANUP:+$CLEANUP; }kubectl delete namespace $name --wait=false >/dev/null"
	[ $# -eq 0 ] || kubectl label namespace "$name" "$@" >/dev/null
	wait_for 20 kubectl -n "$name" get serviceaccount default # no pod starts before
}

# The test's file without its number, and its process: mpi-4711.
NAMESPACE=$(basename "$0" .t)
NAMESPACE=${NAMESPACE#[0-9]*-}-$$
KUBECONFIG=$SCRATCH/kubeconfig
export KUBECONFIG
kube_config "$NAMESPACE" "$KUBECONFIG"
kube_namespace "$NAMESPACE"

# --- images -------------------------------------------------------------------

kube_import() # NAME DIR [CHANGE...]: see tests/kube/image; the same again costs nothing
{
	cluster image "$@"
}

kube_image() # NAME PROGRAM[=PATH]...: this machine's programs and what they need. Each is made once in the life of a cluster
{
	local made
	made=$KUBE_DIR/images/made.$(printf '%s\n' "$@" | sha256sum | cut -c 1-16)
	(
		flock 9
		[ ! -e "$made" ] || exit 0
		image_root "$SCRATCH/image-root" "${@:2}" && kube_import "$1" "$SCRATCH/image-root" && touch "$made"
	) 9>"$KUBE_DIR/images/lock"
}

kube_tools() # localhost/tools:1, with busybox and a link to it for each of its programs
{
	local program root=$SCRATCH/tools made=$KUBE_DIR/images/made.tools
	(
		flock 9
		[ ! -e "$made" ] || exit 0
		mkdir -p "$root/bin" "$root/etc" && mkdir -m 1777 "$root/tmp" && cp /bin/busybox "$root/bin/" || exit 1
		for program in $(/bin/busybox --list); do
			[ "$program" = busybox ] || ln -s busybox "$root/bin/$program"
		done
		printf 'root:x:0:0:root:/root:/bin/sh\n' >"$root/etc/passwd"
		kube_import localhost/tools:1 "$root" && touch "$made"
	) 9>"$KUBE_DIR/images/lock"
}

# --- what there is ------------------------------------------------------------

# Whatever a run can leave in a namespace. What a test makes there itself carries the label test=own. The agent stays for the next run, until
# `muster reap`.
kube_objects() # [NAMESPACE]
{
	kubectl -n "${1:-$NAMESPACE}" get jobs,pods,services,secrets,configmaps,persistentvolumeclaims -l test!=own -o name 2>/dev/null |
		grep -vE '^configmap/(kube-root-ca.crt$|muster-agent-)'
}

kube_nothing_left() # [NAMESPACE]
{
	local objects
	# An answer is needed: no answer is not nothing.
	kubectl get namespace "${1:-$NAMESPACE}" >/dev/null 2>&1 || return 1
	objects=$(kube_objects "$@")
	[ -z "$objects" ]
}

kube_empty() # NAME [NAMESPACE]: a test; pods that were told to go may take a moment
{
	if wait_for 20 kube_nothing_left "${2:-$NAMESPACE}"; then
		pass "$1"
	else
		fail "$1" "$(kube_objects "${2:-$NAMESPACE}"; kubectl -n "${2:-$NAMESPACE}" get pods -o wide 2>&1)"
	fi
}

pod_of() # NODE [RUN_DIR]: the pod in which that node of a run of one role is
{
	kubectl get pods -l "muster.run=$(basename "${2:-$(run_dir)}"),batch.kubernetes.io/job-completion-index=$1" -o 'jsonpath={.items[*].metadata.name}'
}

pods_in_phase() # PHASE COUNT
{
	[ "$(kubectl get pods -l muster.run --field-selector "status.phase=$1" -o name | wc -l)" -eq "$2" ]
}

kube_done_testing() # instead of done_testing
{
	kube_empty "in the end nothing is left in the namespace"
	"$MUSTER" reap >/dev/null 2>&1
	is "and after a reap not even the agent" "$(kubectl get configmaps -l muster.agent -o name 2>&1)" ""
	done_testing
}
