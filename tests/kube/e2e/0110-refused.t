#!/bin/bash
# Why pods do not come: no room, no machine, a quota, a profile, no such image, no such namespace. It is said, soon, and nothing is left.
. "$(dirname "$0")/../lib.sh" || exit 1
kube_tools
cat >job.yaml <<'J'
name: job
cluster: {executor: kubernetes, nodes: 2, image: "localhost/tools:1"}
run: {command: 'echo here'}
J
at_once() # NAME SECONDS: the last muster took no longer than that
{
	at_most "$1 at once, seconds" $((SECONDS - began)) "$2"
}

began=$SECONDS
muster run job.yaml --set 'cluster.kubernetes.node_selector={disk: ssd}'
status_is "a node selector that no machine fits" 3
like "is said in the scheduler's words" "$(why)" "node selector.*0/3 nodes are available"
at_once "an autoscaler is given 12 s to say that it gets one, and no deadline is waited for: it is said" 50
kube_empty "nothing is left"

began=$SECONDS
muster run job.yaml --set 'cluster.kubernetes.pod={spec: {nosuchkey: 1}}'
status_is "a key of the pod that Kubernetes does not know" 3
like "is named" "$(why)" 'unknown field "spec.template.spec.nosuchkey"'
at_once "it is said" 20
kube_empty "nothing is left"

kubectl create quota small --hard=pods=1,limits.memory=100Mi,requests.memory=100Mi >/dev/null
began=$SECONDS
muster run job.yaml --set cluster.memory=64Mi
status_is "a quota that is too small" 3
like "is named" "$(why)" "exceeded quota: small"
at_once "it is said" 20
kube_empty "nothing is left"
kubectl delete quota small >/dev/null

launch run job.yaml --set cluster.cpus=1000
told() { grep -q "Insufficient cpu" "$SCRATCH/bg.err" "$SCRATCH/bg.out" "$(run_dir)/events.jsonl" 2>/dev/null; }
ok "no machine with so many processors: the scheduler's words are shown while it waits" wait_for 30 told
"$MUSTER" cancel latest >/dev/null
start_finished 30
status_is "cancelled while it waits" 130
kube_empty "nothing is left"

launch run job.yaml --set 'cluster.kubernetes.volumes=[{mount_path: /x, claim: nopvc}]'
told() { grep -q "there is no PersistentVolumeClaim 'nopvc'" "$(run_dir)/events.jsonl" 2>/dev/null; }
ok "a claim that is not there is named while it is waited for" wait_for 30 told
"$MUSTER" cancel latest >/dev/null
start_finished 30
kube_empty "nothing is left"

launch run job.yaml --set cluster.kubernetes.queue=q1
told() { grep -q "Kueue to start it (queue 'q1'); nothing has taken notice.*LocalQueue 'q1'" "$(run_dir)/events.jsonl" 2>/dev/null; }
ok "a queue where there is none: that is said while it waits" wait_for 40 told
"$MUSTER" cancel latest >/dev/null
start_finished 30
status_is "cancelled while it waits for a queue" 130
kube_empty "nothing is left"

kube_config "$NAMESPACE-none" "$SCRATCH/none"
began=$SECONDS
KUBECONFIG=$SCRATCH/none muster run job.yaml
status_is "a namespace that is not there" 3
like "is named" "$(why)" "no namespace '$NAMESPACE-none' in the context"
at_once "it is said" 10

sed 's|server: "https://[^"]*"|server: "https://127.0.0.1:1"|' "$KUBECONFIG" >"$SCRATCH/nobody"
chmod 600 "$SCRATCH/nobody"
began=$SECONDS
KUBECONFIG=$SCRATCH/nobody muster run job.yaml
status_is "an API server that is not there" 3
like "is named" "$(why)" "https://127.0.0.1:1 does not answer"
like "it is said that it is tried again" "$(cat "$(run_dir)/events.jsonl")" "does not answer, trying again"
at_once "what was not made is not looked for" 20

# The profile that most is forbidden in: nothing has to be set for it.
kube_namespace "$NAMESPACE-r" pod-security.kubernetes.io/enforce=restricted
kube_config "$NAMESPACE-r" "$SCRATCH/restricted"
mkdir -p root/bin && cp /bin/busybox root/bin/sh && ln -s sh root/bin/id
ok "an image with a user" kube_import localhost/user:1 root 'USER 12345'
KUBECONFIG=$SCRATCH/restricted muster run job.yaml --set cluster.image=localhost/user:1 --set 'run.command=id -u; echo $HOME; echo x >{out}/note' --set 'outputs=[note]'
status_is "an image with a user, where the profile is restricted" 0
is "is that user, whom nobody knows" "$(output 1 | head -n 1)" 12345
ok "an output comes back" test -s "$(run_dir)/outputs/node-1/note"
began=$SECONDS
KUBECONFIG=$SCRATCH/restricted muster run job.yaml
status_is "an image that runs as root there" 3
like "is refused with the reason, and what to do" "$(why)" "root.*USER.*runAsUser"
at_once "it is said" 30
KUBECONFIG=$SCRATCH/restricted muster run job.yaml --set cluster.image=localhost/user:1 --set 'cluster.kubernetes.volumes=[{mount_path: /logs, host_path: /tmp}]'
status_is "a path of the machine there" 3
like "is refused in the cluster's words" "$(why)" "hostPath|restricted volume types|PodSecurity"
kube_empty "nothing is left there" "$NAMESPACE-r"
kube_done_testing
