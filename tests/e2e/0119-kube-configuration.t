#!/bin/bash
# A job for Kubernetes without a configuration that can be used: found before there is a run. No cluster is needed.
. "$(dirname "$0")/lib.sh" || exit 1
unset KUBECONFIG KUBERNETES_SERVICE_HOST KUBERNETES_SERVICE_PORT
export HOME=$SCRATCH/home
mkdir "$HOME"

job job.yaml <<'J'
cluster: {executor: kubernetes, nodes: 2, image: 'debian:12'}
run: {command: 'true'}
J
cat >config <<'C'
apiVersion: v1
kind: Config
clusters: [{name: a, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: u, user: {token: t}}]
contexts: [{name: c, context: {cluster: a, user: u}}]
current-context: c
C

refused() # NAME REGEX [ARGS...]
{
	local name=$1 regex=$2
	shift 2
	muster run "$@" job.yaml
	status_is "$name: exit 2" 2
	like "$name: says why" "$err" "$regex"
	nok "$name: there is no run" test -e "$MUSTER_RUNS"
}

refused "no configuration" "no configuration of Kubernetes.*KUBECONFIG"
unlike "no configuration: nobody is asked at localhost" "$err" "8080"
export KUBECONFIG=$PWD/config
refused "unknown context" "'nowhere'" --set cluster.kubernetes.context=nowhere
refused "too little memory for the agent" "limit of 1048576 bytes of memory, expected at least 10Mi" --set cluster.memory=1Mi
echo 'current-context: c' >config.broken
KUBECONFIG=$PWD/config.broken refused "a context that is not there" "'c'"
echo '{' >config.broken
KUBECONFIG=$PWD/config.broken refused "no YAML" "config\.broken:[0-9]+:"

# What is read a second time is not there: the run has failed, and its controller was not killed.
KUBECONFIG=/dev/fd/9 muster run job.yaml 9< <(cat config)
status_is "a configuration that goes away: exit 3" 3
muster list --json
like "a configuration that goes away: the run has failed" "$out" '"outcome": "failed"'
muster report
like "a configuration that goes away: its report says why" "$out" "/dev/fd/9"

done_testing
