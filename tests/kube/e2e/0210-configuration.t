#!/bin/bash
# Which cluster, and as whom: each form of a kubeconfig against a real API server. The doctor asks it as the configuration says.
. "$(dirname "$0")/../lib.sh" || exit 1
kube_tools || { echo "Bail out! no image"; exit 1; }

admin=$KUBECONFIG
server=$(sed -n 's/.*server: "\([^"]*\)".*/\1/p' "$admin") ca=$(sed -n 's/.*certificate-authority: \([^}]*\)}.*/\1/p' "$admin")
crt=$(sed -n 's/.*client-certificate: \([^,}]*\).*/\1/p' "$admin") key=$(sed -n 's/.*client-key: \([^,}]*\)}.*/\1/p' "$admin")
kubectl apply -n "$NAMESPACE" -f "$KUBE/../../examples/kubernetes/role.yaml" >/dev/null || { echo "Bail out! no role"; exit 1; }
token=$(kubectl create token muster -n "$NAMESPACE")

config() # FILE CLUSTER USER: the rest of a cluster's map, and a user's
{
	cat >"$1" <<E2
apiVersion: v1
kind: Config
preferences: {colors: true}
clusters: [{name: kube, cluster: {server: "$server", $2}}]
users: [{name: own, user: {$3}}]
contexts: [{name: own, context: {cluster: kube, user: own, namespace: $NAMESPACE}}]
current-context: own
E2
	chmod 600 "$1"
}

admitted() # NAME: the doctor is let in, and may do all that a run needs
{
	KUBECONFIG=${files:-$PWD/config} muster doctor
	like "$1" "$out" "ok +API server +Kubernetes v1.*ok +rights +all that a run needs in the namespace '$NAMESPACE'"
}

turned_away() # NAME REGEX
{
	KUBECONFIG=$PWD/config muster doctor
	like "$1" "$out" "missing +(API server|configuration) +[^>]*$2"
}

# --- users ----------------------------------------------------------------------

config config "certificate-authority: $ca" "client-certificate: $crt, client-key: $key"
admitted "a client certificate in files"
config config "certificate-authority-data: $(base64 -w0 "$ca")" "client-certificate-data: $(base64 -w0 "$crt"), client-key-data: $(base64 -w0 "$key")"
admitted "and as data, as is the certificate authority"
config config "certificate-authority: $ca" "token: $token"
admitted "a token"
config config "certificate-authority: $ca" "token: none"
turned_away "a token that is none" "does not accept the token"
config config "certificate-authority: $ca" "client-certificate: $crt, client-key: $key, as: system:serviceaccount:$NAMESPACE:muster"
admitted "an administrator as somebody else"
config config "certificate-authority: $ca" "client-certificate: $crt, client-key: $key, as: nobody"
KUBECONFIG=$PWD/config muster doctor
like "who may do nothing" "$out" "missing +rights +missing in the namespace '$NAMESPACE': jobs \\(create, get"

# --- servers --------------------------------------------------------------------

config config "insecure-skip-tls-verify: true" "token: $token"
admitted "a server that is not checked"
config config "certificate-authority: $ca, tls-server-name: kubernetes.default.svc" "token: $token"
admitted "another name in its certificate"
config config "certificate-authority: $ca, tls-server-name: elsewhere.example" "token: $token"
turned_away "a name that is not in it" "the certificate of 'elsewhere.example' is not trusted"
config config "extensions: []" "token: $token"
SSL_CERT_FILE=$ca admitted "without one the system's certificates are trusted"
SSL_CERT_FILE=$crt turned_away "which are those of somebody else, as a rule" "is not trusted"
config config "certificate-authority: $ca, proxy-url: 'http://127.0.0.1:1'" "token: $token"
turned_away "a proxy that is not there" "the proxy http://127.0.0.1:1: cannot connect"

# --- several files ----------------------------------------------------------------

printf '%s\n' "$token" >token
sed -n '/^clusters/p' config | sed "s/, proxy-url: '[^']*'//" >clusters
printf 'users: [{name: own, user: {tokenFile: token}}]\n' >users
sed -n '/^contexts/p; /^current/p' config >contexts
printf 'current-context: other\nusers: [{name: own, user: {token: none}}]\n' >later
files=$PWD/none:$PWD/clusters:$PWD/users:$PWD/contexts:$PWD/later
admitted "parts in several files: the first that says something counts"
files=

# --- a credential plugin ------------------------------------------------------------

cat >login <<'E2'
#!/bin/sh
# Leaves behind how often it ran, and what it was told.
cd "$(dirname "$0")" || exit 1
echo run >>logins
printf '%s\n' "$KUBERNETES_EXEC_INFO" >told
printf '{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "%s"}}\n' "$(cat "$1")"
E2
chmod +x login
plugin="exec: {apiVersion: client.authentication.k8s.io/v1, command: ./login, args: [token], interactiveMode: Never, provideClusterInfo: true}"
config config "certificate-authority: $ca" "$plugin"
rm -f logins
admitted "what a plugin gives"
is "it ran once for all" "$(wc -l <logins)" 1
like "and was told of the cluster" "$(cat told)" "\"server\":\"$server\",\"certificate-authority-data\":\"$(base64 -w0 "$ca")\""
echo none >token
turned_away "what it gives in vain" "does not accept what the credential plugin gives"
is "it was asked once more" "$(wc -l <logins)" 3
printf '%s\n' "$token" >token

job hello.yaml <<E2
name: hello
cluster: {executor: kubernetes, nodes: 2, image: localhost/tools:1}
run: {command: [sh, -c, 'echo hello from {node}']}
E2
# A controller leaves this directory and has no terminal; the plugin is where the file is.
mkdir elsewhere
KUBECONFIG=config muster run --detach hello.yaml
is "a detached run starts" "$status" 0
KUBECONFIG=config muster attach
is "and ends well, with the plugin" "$status" 0
[ "$status" -eq 0 ] || diag "$err"
like "with its output" "$out" "hello from 1"
nok "no token is in what it leaves" grep -rqF "$token" "$MUSTER_RUNS"
rm login
KUBECONFIG=$PWD/config muster run hello.yaml
is "without the plugin it fails" "$status" 3
like "and names it" "$err" "config:5:34: the credential plugin '$PWD/login' is not there"

# --- what is not right ----------------------------------------------------------------

config config "certificate-authority: $ca" "auth-provider: {name: gcp}"
turned_away "an auth-provider" "$PWD/config:5:43: the auth-provider 'gcp' is not supported"
config config "certificate-authority: none.crt" "token: $token"
turned_away "a certificate authority that is not there" "cannot read certificates to trust from '$PWD/none.crt'"
job context.yaml <<E2
name: hello
cluster: {executor: kubernetes, nodes: 1, image: localhost/tools:1, kubernetes: {context: onw}}
run: {command: [sh, -c, 'echo hello']}
E2
KUBECONFIG=$PWD/config muster run context.yaml
is "a context that is not there" "$status" 2
like "is named" "$err" "config has no context 'onw'; did you mean 'own'"

kube_done_testing
