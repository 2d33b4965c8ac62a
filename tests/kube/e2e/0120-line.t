#!/bin/bash
# What is between here and the pods: proxies that cut what is idle for 30 s, that cut everything after 60 s, and one that knows no WebSocket;
# and much that goes through an exec both ways. Not a byte is lost, and the run says what happened.
. "$(dirname "$0")/../lib.sh" || exit 1
ok "an image" kube_tools

server=$(sed -n 's/.*server: "https:\/\/\([^"]*\)".*/\1/p' "$KUBECONFIG")
proxy() # NAME PORT MODE VALUE: in the background; $NAME.log
{
	# Without the test's name in its environment: it is not what a run may leave behind.
	env -u MUSTER_E2E "$KUBE/proxy.py" "$1.log" "$2" "$server" "$3" "$4" 2>"$1.err" &
	CLEANUP="${CLEANUP:+$CLEANUP; }kill $!"
	wait_for 10 listens "$2"
}
listens() # PORT
{
	(exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}
through() # PORT: a configuration whose server is there
{
	sed "s/server: \"[^\"]*\"/server: \"https:\/\/127.0.0.1:$1\"/" "$KUBECONFIG" >"config-$1"
	chmod 600 "config-$1"
}
first=$((20000 + $$ % 9000 * 4))

# --- cut when idle: a cluster that does nothing for longer --------------------

cat >lab.yaml <<'J'
name: lab
cluster: {executor: kubernetes, nodes: 2, image: "localhost/tools:1"}
J
printf 'heartbeat: 200s\n' >site.yaml
idle=$first
ok "a proxy that cuts what is idle for 30 s" proxy idle $idle idle 30
through $idle
KUBECONFIG=$PWD/config-$idle muster up lab.yaml --site site.yaml
status_is "a cluster whose nodes have nothing to say to each other for minutes" 0
lab=$(echo "$MUSTER_CLUSTERS"/lab/*)
since=$SECONDS

# --- cut when old: a job that takes longer --------------------------------------

cat >count.yaml <<'J'
name: count
cluster: {executor: kubernetes, nodes: 2, image: "localhost/tools:1"}
run:
  command: |
    i=0
    while [ $i -lt 75 ]; do
      seq $((i * 20000)) $((i * 20000 + 19999))
      i=$((i + 1))
      sleep 1
    done
    seq 1 200000 >last
outputs: [last]
J
age=$((first + 1))
ok "a proxy that cuts everything after 60 s" proxy age $age age 60
through $age
KUBECONFIG=$PWD/config-$age start run count.yaml
count=$(run_dir) counting=$started

# --- no WebSocket ---------------------------------------------------------------

kubectl create serviceaccount pilot >/dev/null
kubectl create rolebinding pilot --clusterrole=admin --serviceaccount="$NAMESPACE:pilot" >/dev/null
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=proxy -addext subjectAltName=IP:127.0.0.1 -keyout key.pem -out cert.pem 2>/dev/null
cat key.pem cert.pem >both.pem
upgrade=$((first + 2))
ok "a proxy that drops the wish to upgrade" proxy upgrade $upgrade upgrade both.pem
cat >config-$upgrade <<C
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://127.0.0.1:$upgrade", certificate-authority: $PWD/cert.pem}}]
users: [{name: u, user: {token: $(kubectl create token pilot)}}]
contexts: [{name: c, context: {cluster: c, user: u, namespace: $NAMESPACE}}]
current-context: c
C
chmod 600 config-$upgrade
cat >hello.yaml <<'J'
name: hello
cluster: {executor: kubernetes, nodes: 1, image: "localhost/tools:1"}
run: {command: "echo hello"}
J
KUBECONFIG=$PWD/config-$upgrade muster run hello.yaml
status_is "a run through it" 3
like "says what the matter is" "$(why)" "a proxy between here and the API server .* drops the upgrade to WebSocket"

# --- much through one line ------------------------------------------------------

head -c 50000000 /dev/urandom >much
cat >much.yaml <<'J'
name: much
cluster: {executor: kubernetes, nodes: 1, image: "localhost/tools:1"}
inputs: [{name: much, from: much}]
run: {command: "for i in 1 2 3 4; do cat {data}/much; done; cp {data}/much back"}
outputs: [back]
J
muster run much.yaml
status_is "50 MB in, 200 MB and 50 MB out" 0
cat much much much much >expected
ok "what came out is what was said, byte for byte" cmp expected "$(run_dir)/ranks/output-0.txt"
ok "and so is the file" cmp much "$(run_dir)/outputs/node-0/back"
rate() # of all that came back: from the start of the rank until nothing is left to come
{
	/usr/bin/python3 - "$(run_dir)/events.jsonl" <<'P'
import json, sys
events = [json.loads(line) for line in open(sys.argv[1])]
begin = next(e["ts"] for e in events if e["type"] == "start")
end = next(e["ts"] for e in events if e["type"] == "phase" and e["name"] == "teardown")
came = next(e for e in events if e["type"] == "input" and e.get("ok"))
print("in: 50 MB, %.0f MB/s; out: 250 MB, %.0f MB/s" % (50 / came["seconds"], 250 / (end - begin)))
P
}
diag "$(rate)"

# --- what became of the first two -----------------------------------------------

ended() { gone "$counting"; }
ok "the job that counts ends" wait_for 120 ended
started=$counting
start_finished 1
status_is "well" 0
seq 0 1499999 >expected
for rank in 0 1; do
	ok "every line of rank $rank is there, once" cmp expected "$count/ranks/output-$rank.txt"
	is "and its file" "$(tail -n 1 "$count/outputs/node-$rank/last") $(wc -l <"$count/outputs/node-$rank/last")" "200000 200000"
done
at_least_two() { [ "$(events 'e["node"] if e["type"] == "back" else None' "$count" | wc -l)" -ge 2 ]; }
ok "its lines were cut, and came back" at_least_two
ok "by the proxy" has_line age.log '^cut [0-9]* 60'

idle_long_enough() { [ $((SECONDS - since)) -gt 75 ]; }
ok "the cluster has been idle for more than a minute" wait_for 80 idle_long_enough
is "and its lines were not cut" "$(events 'e["why"] if e["type"] in ("warn", "back", "lost") else None' "$lab")" ""
KUBECONFIG=$PWD/config-$idle muster exec lab -- echo here
is "it still answers" "$(printf '%s\n' "$out" | sort | tr '\n' ';')" "0| here;1| here;"
KUBECONFIG=$PWD/config-$idle muster down lab
status_is "down" 0
kube_done_testing
