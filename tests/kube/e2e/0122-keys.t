#!/bin/bash
# What a job file says of pods is what they are: volumes of each kind, resources, labels, an overlay in Kubernetes' own words. And Jobs whose
# pods never start go by their own deadline, when nobody is there any more.
. "$(dirname "$0")/../lib.sh" || exit 1
kube_tools
shared=$KUBE_DIR/shared/$NAMESPACE
mkdir -m 1777 "$shared"
CLEANUP="${CLEANUP:+$CLEANUP; }rm -rf $shared"
quiet() { "$@" >/dev/null; }

ok "a ConfigMap" quiet kubectl create configmap settings --from-literal=word=of-a-map
ok "a Secret" quiet kubectl create secret generic credentials --from-literal=word=of-a-secret
ok "a ServiceAccount" quiet kubectl create serviceaccount trainer
quiet kubectl label configmap/settings secret/credentials test=own

cat >keys.yaml <<J
name: keys
cluster:
  executor: kubernetes
  image: localhost/tools:1
  memory: 64Mi
  roles:
    small: {nodes: 1, cpus: 100m, resources: {ephemeral-storage: 1Gi}}
    large: {nodes: 2, cpus: 200m}
  kubernetes:
    service_account: trainer
    image_pull_policy: Never
    labels: {team: a}
    annotations: {note: "{\"a\": 'b'} \$HOME"}
    tolerations: [{key: nobody/has-it, operator: Exists}]
    resources: {ephemeral-storage: 2Gi}
    shm: 16Mi
    volumes:
      - {host_path: $shared, mount_path: /shared}
      - {config_map: settings, mount_path: /settings}
      - {secret: credentials, mount_path: /credentials/word, sub_path: word, read_only: true}
      - {empty_dir: {medium: memory, size: 8Mi}, mount_path: /fast}
    pod:
      metadata: {labels: {number: 1}}
      spec:
        containers:
          - {name: node, env: [{name: WORD, value: of-the-overlay}]}
run:
  command: |
    echo "words \$WORD \$(cat /settings/word) \$(cat /credentials/word)"
    echo "sizes \$(df -m /dev/shm /fast | awk 'NR > 1 { print \$2 }' | tr '\n' ' ')"
    echo "token \$(test -s /var/run/secrets/kubernetes.io/serviceaccount/token && echo yes)"
    echo "services \$(env | grep -c '_PORT_[0-9]*_TCP=')"
    grep -E '^(CapEff|NoNewPrivs|Seccomp):' /proc/self/status | tr -s '\t\n' '  '; echo
    touch /shared/up-\$MUSTER_RANK
    while [ ! -e /shared/go ]; do sleep 0.1; done
J
start run keys.yaml
up() { [ -e "$shared/up-0" ] && [ -e "$shared/up-1" ] && [ -e "$shared/up-2" ]; }
ok "three pods run" wait_for 60 up
is "with labels of the job file and of the overlay" "$(kubectl get pods -l team=a,number=1,muster.run -o name | wc -l)" 3
is "Jobs have those of the job file" "$(kubectl get jobs -l team=a -o name | wc -l)" 2
of() { kubectl get pods -l "muster.role=$1" -o "jsonpath={.items[0]$2}"; }
is "the annotation as it is" "$(of small .metadata.annotations.note)" "{\"a\": 'b'} \$HOME"
is "limits of one role" "$(of small .spec.containers[0].resources.limits)" '{"cpu":"100m","ephemeral-storage":"1Gi","memory":"67108864"}'
is "requests are the same" "$(of small .spec.containers[0].resources.requests)" '{"cpu":"100m","ephemeral-storage":"1Gi","memory":"67108864"}'
is "limits of the other one" "$(of large .spec.containers[0].resources.limits)" '{"cpu":"200m","ephemeral-storage":"2Gi","memory":"67108864"}'
is "Kubernetes guarantees what they have" "$(of large .status.qosClass)" Guaranteed
is "the nodes of the role" "$(of large .metadata.annotations.muster\\.nodes)" 1-2
is "a machine that is gone is not waited for" "$(of small '.spec.tolerations[?(@.key=="node.kubernetes.io/unreachable")].tolerationSeconds')" 30
is "a deadline, without a limit in the job" "$(kubectl get jobs -l muster.role=small -o 'jsonpath={.items[0].spec.activeDeadlineSeconds}')" 2592000
touch "$shared/go"
start_finished 60
status_is "the run" 0
for rank in 0 2; do
	like "rank $rank: the overlay, a ConfigMap, a Secret" "$(output $rank)" "words of-the-overlay of-a-map of-a-secret"
	like "rank $rank: sizes in memory" "$(output $rank)" "sizes 16 8 "
	like "rank $rank: the token of its service account" "$(output $rank)" "token yes"
	like "rank $rank: no variables of Services but of the API" "$(output $rank)" "services [01]$|services [01]"$'\n'
	like "rank $rank: no capabilities, no new privileges, seccomp" "$(output $rank)" "CapEff: 0+ NoNewPrivs: 1 Seccomp: 2 "
done
kube_empty "nothing is left"

# --- what never starts ------------------------------------------------------------

cat >large.yaml <<'J'
name: large
cluster: {executor: kubernetes, nodes: 2, image: "localhost/tools:1", cpus: 1000}
run: {command: "true"}
J
echo '{deadline: 10m, kubernetes_deadline: 15s}' >site.yaml
start run large.yaml --site site.yaml
no_pods() { [ -z "$(kubectl get pods -l muster.run -o name)" ]; }
made() { [ "$(kubectl get pods -l muster.run -o name | wc -l)" -eq 2 ]; }
ok "pods that no machine has room for" wait_for 30 made
is "the deadline of the site" "$(kubectl get jobs -l muster.run -o 'jsonpath={.items[0].spec.activeDeadlineSeconds}')" 15
kill -9 "$(controller_pid)"
start_finished 10
ok "nobody is there: they go by their deadline" wait_for 60 no_pods
ok "and a minute later their Job" wait_for 120 kube_nothing_left
muster reap
kube_done_testing
