#!/bin/bash
# The Helm chart: the values of the chart distributed-tensorflow, any job file, an upgrade, and what an uninstall leaves: nothing, also in the
# middle of a run. The images are made of the build, as packaging/Dockerfile makes them.
. "$(dirname "$0")/../lib.sh" || exit 1
build=$(dirname "$MUSTER")/.. packaging=$KUBE/../../packaging
chart=$packaging/helm/muster-job
[ -x "$build/trainers/mnist" ] || { fail "the trainer" "there is no $build/trainers/mnist"; kube_done_testing; }

image() # NAME [mnist]: once in the life of a cluster
{
	local made
	made=$KUBE_DIR/images/made.$(cat "$build/src/muster" "$build/src/muster-agent" "$packaging/rootfs" - <<<"$*" | sha256sum | cut -c 1-16)
	(
		flock 9
		[ ! -e "$made" ] || exit 0
		rm -rf "$SCRATCH/root" && "$packaging/rootfs" "$build" "$SCRATCH/root" "${@:2}" && kube_import "$1" "$SCRATCH/root" \
			'USER 10001:10001' 'ENV HOME=/home/muster' 'ENV PATH=/usr/local/bin' 'WORKDIR /home/muster' \
			'ENTRYPOINT ["/usr/local/bin/muster"]' && touch "$made"
	) 9>"$KUBE_DIR/images/lock"
}

quiet() { "$@" >/dev/null 2>err; }
controller() { kubectl get jobs -l "app.kubernetes.io/instance=$1" -o 'jsonpath={.items[*].metadata.name}'; }
log() { kubectl logs "job/$(controller "$1")" 2>/dev/null; }
says() { log "$1" | grep -qE "$2"; }
# Of a release, or of a run; not what every namespace has.
left() { kubectl get pods,jobs,configmaps,secrets,serviceaccounts,roles,rolebindings -o name | grep -vE '^(configmap/kube-root-ca.crt|serviceaccount/default)$'; }
gone() { [ -z "$(left)" ]; }
install() { helm install "$@" >notes 2>err; }

# --- before anything is installed -----------------------------------------------

ok "the image of muster" image localhost/muster:1
ok "and the one with the trainer" image localhost/muster-mnist:1 mnist
rm -rf again && "$packaging/rootfs" "$build" again
ok "the same build gives the same files" test "$(cd again && find . -print0 | sort -z | xargs -0 stat -c '%n %a %s %Y' | sha256sum)" = \
	"$(rm -rf more && "$packaging/rootfs" "$build" more && cd more && find . -print0 | sort -z | xargs -0 stat -c '%n %a %s %Y' | sha256sum)"
nok "which does not mix with others" quiet "$packaging/rootfs" "$build" more

rules() { kubectl create --dry-run=client -o json -f "$1" | python3 -c 'import sys, json
text, at, decoder = sys.stdin.read().strip(), 0, json.JSONDecoder()
while at < len(text):
    found, end = decoder.raw_decode(text[at:])
    at += end + len(text[at + end:]) - len(text[at + end:].lstrip())
    print("".join(json.dumps(o["rules"]) for o in found.get("items", [found]) if "rules" in o), end="")'; }
helm template x "$chart" --show-only templates/rights.yaml >rights.yaml
is "the controller's rights are those of the example" "$(rules rights.yaml)" "$(rules "$KUBE/../../examples/kubernetes/role.yaml")"
like "which are some" "$(rules rights.yaml)" "pods/exec"
ok "lint" quiet helm lint --strict "$chart"
nok "a value of another name" quiet helm template x "$chart" --set worker.nubmer=3
like "is named" "$(cat err)" "nubmer"
nok "pods one after the other" quiet helm template x "$chart" --set worker.podManagementPolicy=OrderedReady
like "are refused" "$(cat err)" "podManagementPolicy"
nok "two pull policies" quiet helm template x "$chart" --set ps.image.pullPolicy=Never
like "are refused" "$(cat err)" "pullPolicy differ"

# --- the values of distributed-tensorflow -----------------------------------------

cat >values.yaml <<V
image: {repository: localhost/muster, tag: 1}
worker:
  number: 2
  podManagementPolicy: Parallel
  image:
    repository: localhost/muster-mnist
    tag: 1
    pullPolicy: IfNotPresent
  port: 9000
  limit: {cpu: 200m, memory: 125Mi}
ps:
  number: 2
  podManagementPolicy: Parallel
  image:
    repository: localhost/muster-mnist
    tag: 1
    pullPolicy: IfNotPresent
  port: 8000
  limit: {cpu: 200m, memory: 125Mi}
hyperparams:
  batchsize: 20
  learningrate: 0.001
  trainsteps: 200
volumes:
  - name: logs-volume
    hostPath:
      path: /tmp/muster-helm-$$
volumeMounts:
  - name: logs-volume
    mountPath: /tmp/mnist-log
V
ok "install" install mnist "$chart" --values values.yaml
like "the notes say how to follow it" "$(cat notes)" "logs -f job/$(controller mnist)"
ok "it ends by itself" quiet kubectl wait --for=condition=complete --timeout=120s "job/$(controller mnist)"
like "two workers have learned" "$(log mnist)" 'After 200 training step\(s\), test accuracy = 0\.'
like "servers listened where the values say" "$(log mnist)" ':8000'
like "the run is ok" "$(log mnist | tail -n 1)" 'ok after'
is "only the controller is left of its pods" "$(kubectl get pods -l muster.run -o name)" ""
is "no ConfigMap has the agent" "$(kubectl get configmaps -l muster.agent -o name)" ""

before=$(controller mnist)
ok "upgrade: another number of workers, no end" quiet helm upgrade mnist "$chart" --values values.yaml --set worker.number=3,hyperparams.trainsteps=0
ok "another controller" test "$before" != "$(controller mnist)"
ok "three workers train" wait_for 120 says mnist 'Worker 2: training step 1 done'
ok "more steps than before" wait_for 120 says mnist 'global step: 2[0-9][0-9]\)'
like "the notes' way to ask muster" "$(kubectl exec "job/$(controller mnist)" -- muster status --runs /home/muster/runs 2>&1)" "mnist-.*running"
is "the controller's pod owns the run" "$(kubectl get jobs -l muster.run -o 'jsonpath={range .items[*]}{.metadata.ownerReferences[0].kind} {end}')" "Pod Pod "
before=$(controller mnist)
ok "an upgrade that changes nothing" quiet helm upgrade mnist "$chart" --values values.yaml --set worker.number=3,hyperparams.trainsteps=0
is "leaves the run alone" "$(controller mnist)" "$before"

running=$(kubectl get pods -l muster.run -o name | wc -l)
ok "an upgrade in the middle" quiet helm upgrade mnist "$chart" --values values.yaml --set worker.number=1,hyperparams.trainsteps=0
ok "one worker trains" wait_for 120 says mnist 'Worker 0: training step 1 done'
three() { [ "$(kubectl get pods -l muster.run -o name | wc -l)" -eq 3 ]; }
is "where five pods were" "$running" 5
ok "three are" wait_for 60 three

ok "uninstall in the middle" quiet helm uninstall mnist
ok "leaves nothing" wait_for 60 gone
is "nothing" "$(left)" ""

# --- any job file, a restricted namespace -----------------------------------------

kubectl label namespace "$NAMESPACE" pod-security.kubernetes.io/enforce=restricted >/dev/null
cat >job.yaml <<'J'
name: words
cluster: {nodes: 2, image: "localhost/muster:1"}
run: {command: [muster, version], env: {WORDS: "{\"a\": 'b'} $HOME \\ #"}}
J
ok "a job file as a value" install words "$chart" --set image.repository=localhost/muster,image.tag=1 --set-file job=job.yaml
ok "ends" quiet kubectl wait --for=condition=complete --timeout=60s "job/$(controller words)"
like "both pods ran" "$(log words)" $'1\\| muster [0-9]'
ok "uninstall" quiet helm uninstall words
ok "leaves nothing" wait_for 60 gone

sed 's/command: .*, env/command: [muster, nothing], env/' job.yaml >bad.yaml
ok "a job that fails" install bad "$chart" --set image.repository=localhost/muster,image.tag=1 --set-file job=bad.yaml
ok "fails its controller" quiet kubectl wait --for=condition=failed --timeout=60s "job/$(controller bad)"
like "whose log says why" "$(log bad)" "nothing"

# --- the controller's pod goes without a word ---------------------------------------

cat >sleep.yaml <<'J'
cluster: {image: "localhost/muster-mnist:1", nodes: 2}
run: {command: [mnist, --train_steps, "0"]}
J
ok "one more" install sleep "$chart" --set image.repository=localhost/muster,image.tag=1 --set-file job=sleep.yaml
ok "runs" wait_for 60 pods_in_phase Running 2
kubectl delete pod --grace-period=0 --force -l app.kubernetes.io/instance=sleep >/dev/null 2>&1
no_nodes() { [ -z "$(kubectl get pods,jobs -l muster.run -o name)" ]; }
ok "when it is killed the run's pods go too" wait_for 90 no_nodes
ok "uninstall" quiet helm uninstall bad sleep
ok "in the end nothing of Helm is left" wait_for 60 gone
kube_done_testing
