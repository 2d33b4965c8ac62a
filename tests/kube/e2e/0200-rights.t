#!/bin/bash
# What a run may do in its namespace: with examples/kubernetes/role.yaml everything that it needs, and with less an error at once that says
# what is missing.
. "$(dirname "$0")/../lib.sh" || exit 1
kube_tools || { echo "Bail out! no image"; exit 1; }

role=$KUBE/../../examples/kubernetes/role.yaml
admin=$KUBECONFIG
kubectl_admin() { kubectl --kubeconfig "$admin" -n "$NAMESPACE" "$@"; }

kubectl_admin apply -f "$role" >/dev/null || { echo "Bail out! no role"; exit 1; }
like "the namespace has the role" "$(kubectl_admin get role,rolebinding -o name)" "role.rbac.authorization.k8s.io/muster"

# The service account, as somebody outside of the cluster uses it: its token in a file beside the kubeconfig.
token=$(kubectl_admin create token muster)
printf '%s\n' "$token" >token
chmod 600 token
server=$(sed -n 's/.*server: "\([^"]*\)".*/\1/p' "$admin") ca=$(sed -n 's/.*certificate-authority: \([^}]*\)}.*/\1/p' "$admin")
cat >own.kubeconfig <<E2
apiVersion: v1
kind: Config
clusters: [{name: kube, cluster: {server: "$server", certificate-authority: $ca}}]
users: [{name: muster, user: {tokenFile: token}}]
contexts: [{name: own, context: {cluster: kube, user: muster, namespace: $NAMESPACE}}]
current-context: own
E2

job hello.yaml <<E2
name: hello
cluster: {executor: kubernetes, nodes: 2, image: localhost/tools:1}
run: {command: [sh, -c, 'echo hello from {node}']}
E2

# --- all that is needed ---------------------------------------------------------

export KUBECONFIG=$PWD/own.kubeconfig
nok "the account sees no machines" kubectl get nodes 2>/dev/null
muster run hello.yaml
is "a run needs no more than the role" "$status" 0
like "and says hello" "$out" "hello from 1"
muster doctor
is "the doctor is content" "$status" 0
like "it names the configuration" "$out" "ok +configuration +context 'own', $PWD/own.kubeconfig:3:"
like "the API server" "$out" "ok +API server +Kubernetes v1\.[0-9.]+ at $server"
like "for which machines the agent is" "$out" "ok +agent of pods +for machines with kubernetes.io/arch=[a-z0-9]+"
like "and the rights" "$out" "ok +rights +all that a run needs in the namespace '$NAMESPACE'"
muster reap
is "a reap needs no more either" "$status" 0
is "it takes the agent away" "$(kubectl_admin get configmaps -l muster.agent -o name)" ""

# --- less -------------------------------------------------------------------------

# The same without one of the rules: each of them is needed, and is named when it is missing.
without() # RESOURCE
{
	awk -v what="$1" '/^  - apiGroups/ { if (rule !~ what) printf "%s", rule; rule = "" } /^rules:/ { on = 1; print; next }
		/^---/ && on { if (rule !~ what) printf "%s", rule; rule = ""; on = 0 } on { rule = rule $0 "\n"; next } { print }' "$role" |
		kubectl_admin apply -f - >/dev/null
}

for what in pods/exec jobs events configmaps; do
	without "resources: .$what."
	muster doctor
	is "without $what the doctor still ends well" "$status" 0
	like "and names it" "$out" "missing +rights +missing in the namespace '$NAMESPACE': $what \\("
done

without "resources: .pods/exec."
SECONDS=0
muster run hello.yaml
is "without pods/exec a run fails" "$status" 3
at_most "at once, in seconds" "$SECONDS" 20
like "with what is missing" "$err" "no right to pods/exec \\(get, create\\): examples/kubernetes/role.yaml"
is "it has made nothing" "$(kubectl_admin get jobs,pods -o name)" ""

without "resources: .jobs."
muster run hello.yaml
is "without jobs it fails" "$status" 3
like "in the API server's words" "$err" "the API server says: jobs.batch is forbidden: User \"system:serviceaccount:$NAMESPACE:muster\" cannot"

# --- somebody who is not let in -----------------------------------------------------

echo no-token-of-this-cluster >token
muster run hello.yaml
is "without a good token it fails" "$status" 3
like "the token is said to be refused" "$err" "does not accept the token of $PWD/own.kubeconfig:3:"
unlike "and not shown" "$err" "no-token-of-this-cluster"
muster doctor
like "nor by the doctor" "$out" "missing +API server +the API server $server does not accept the token"

KUBECONFIG=$PWD/none HOME=$PWD muster run hello.yaml
is "without a configuration it fails" "$status" 2
like "and says where one is looked for" "$err" "there is no configuration of Kubernetes: found no file at '$PWD/none'"

# --- all is given back ----------------------------------------------------------------

kubectl_admin apply -f "$role" >/dev/null
printf '%s\n' "$token" >token
muster reap
is "with the role again a reap finds nothing that it cannot look at" "$status" 0
export KUBECONFIG=$admin
kube_done_testing
