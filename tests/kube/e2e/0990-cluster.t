#!/bin/bash
# The cluster that the tests run on: what it gives, that it comes back from a session that was killed, and that nothing is left of it. One of
# its own, beside the one of the others.
. "$(dirname "$0")/../lib.sh" || exit 1

other=$KUBE_DIR
export KUBE_DIR=$SCRATCH/cluster KUBE_NAME=t$$ KUBE_NET=10.$((160 + $$ % 90))
CLEANUP="${CLEANUP:+$CLEANUP; }KUBE_DIR=$KUBE_DIR $KUBE/cluster down"
other_kubectl() { kubectl "$@"; }
quiet() { "$@" >/dev/null; }
own_kubectl() { kubectl --kubeconfig "$KUBE_DIR/admin.kubeconfig" "$@"; }

# --- what is left -------------------------------------------------------------

own_processes()
{
	grep -slzFx "KUBE_CLUSTER=$KUBE_DIR" /proc/[0-9]*/environ | cut -d / -f 3
}

left() # of this name and folder: whatever the kernel knows of
{
	ip netns list | grep -E "^$KUBE_NAME(-|\$| )"
	ip -o link show | grep -wE "$KUBE_NAME"
	find /sys/fs/cgroup -maxdepth 2 -name "$KUBE_NAME"
	own_processes
	grep -slF "$KUBE_DIR" /proc/[0-9]*/mountinfo
	ls -d "$KUBE_DIR" 2>/dev/null
}

is "nothing is there before" "$(left)" ""

# --- refusals -----------------------------------------------------------------

KUBE_NAME=much-too-long-a-name cluster up 0 2>err
like "a name that is no interface's" "$(cat err)" "KUBE_NAME is 'much-too-long-a-name', expected at most 12"
mkdir precious && touch precious/file
nok "a folder that is something else" env KUBE_DIR="$PWD/precious" "$KUBE/cluster" up 0
nok "nor is it taken away" env KUBE_DIR="$PWD/precious" "$KUBE/cluster" down
ok "it is as it was" test -e precious/file
nok "a node that is not there" env KUBE_DIR="$other" "$KUBE/cluster" kill node 9

# --- killed half-way ----------------------------------------------------------

KUBE_PROGRAMS=$KUBE_PROGRAMS "$KUBE/cluster" up 1 >/dev/null 2>&1 &
starting=$!
ok "a cluster starts" wait_for 60 test -e "$KUBE_DIR/pid/apiserver"
kill -9 "$starting"
wait "$starting" 2>/dev/null
like "when it is killed it leaves much" "$(left)" "$KUBE_NAME"
export KUBE_PROGRAMS
ok "the next one takes its place" quiet cluster up 1
is "beside the other one" "$(other_kubectl get nodes --no-headers | wc -l) $(own_kubectl get nodes -o name)" "3 node/$KUBE_NAME-1"

# --- what it gives ------------------------------------------------------------

mkdir -p root/bin && cp /bin/busybox root/bin/sh
ok "an image" cluster image localhost/own:1 root 'ENV WORD=of the image' 'USER 1234' 'CMD ["/bin/sh", "-c", "echo $WORD; exec sleep 1000"]'
echo from outside >"$KUBE_DIR/shared/word"
cat >pod.yaml <<E2
apiVersion: v1
kind: Pod
metadata: {name: own}
spec:
  containers:
    - name: own
      image: localhost/own:1
      command: [/bin/sh, -c, 'echo \$WORD; cat $KUBE_DIR/shared/word; [ "\$UID" = 1234 ] || id -u; while :; do sleep 0.1; done']
      volumeMounts: [{name: shared, mountPath: $KUBE_DIR/shared}]
  volumes: [{name: shared, hostPath: {path: $KUBE_DIR/shared}}]
E2
own_kubectl create -f pod.yaml >/dev/null
ok "a pod runs" quiet own_kubectl wait --for=condition=Ready --timeout=60s pod/own
is "with what its image says, and what all nodes share" "$(own_kubectl logs own | tr '\n' ,)" "of the image,from outside,1234,"
own_log() { own_kubectl logs own; }
for what in "apiserver" "kubelet 1"; do
	# shellcheck disable=SC2086 # two words
	cluster kill $what
	nok "without $what there is no answer" own_log 2>/dev/null
	# shellcheck disable=SC2086 # two words
	ok "$what is back" cluster start $what
	ok "and the pod has gone on" wait_for 20 own_log
done
is "the same one" "$(own_kubectl get pod own -o 'jsonpath={.status.phase} {.status.containerStatuses[0].restartCount}')" "Running 0"

# --- a session is killed ------------------------------------------------------

# shellcheck disable=SC2046 # pids; some go by themselves when others do
kill -9 $(own_processes) 2>/dev/null
like "everything of it is killed: interfaces and name spaces stay" "$(left)" "$KUBE_NAME-1"
ok "a new one starts" quiet cluster up 1
is "with nothing of the old one" "$(own_kubectl get pods -o name)" ""
ok "down" cluster down
is "leaves nothing" "$(left)" ""
export KUBE_DIR=$other
kube_done_testing
