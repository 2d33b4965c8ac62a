#!/bin/bash
# Pods of a real Kubernetes as nodes, of an image with nothing in it but one static program, and of one with a shell; what is wrong with an
# image or a command is said; nothing is left in the namespace.
. "$(dirname "$0")/../lib.sh" || exit 1
kube_tools

cat >hello.c <<'C'
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
int main(int argc, char **argv)
{
	char host[64] = "";
	gethostname(host, sizeof host);
	printf("rank %s on %s, %s\n", getenv("MUSTER_RANK"), host, access("/bin/sh", F_OK) ? "no shell" : "a shell");
	FILE *out = fopen("note", "w");
	fprintf(out, "%s\n", getenv("FROM_IMAGE") ? getenv("FROM_IMAGE") : "nothing");
	fclose(out);
	return 0;
}
C
ok "a static program is built" gcc -O2 -static -w -o hello hello.c
mkdir -p root/bin empty && cp hello root/bin/
ok "an image from it" kube_import localhost/bare:1 root 'ENV FROM_IMAGE=yes'
echo nothing >empty/nothing
ok "an image without any program" kube_import localhost/empty:1 empty

cat >hello.yaml <<'J'
name: hello
cluster: {executor: kubernetes, nodes: 4, image: "localhost/bare:1"}
run: {command: [/bin/hello]}
outputs: [note]
J
muster doctor
like "the doctor sees the cluster" "$out" "ok +API server +Kubernetes v1\\.34.*ok +namespace +$NAMESPACE.*ok +rights "
muster run hello.yaml
status_is "four pods of an image without a shell" 0
like "where they are is said first" "$(events 'e.get("step") if e["type"] == "pod" else None' | head -n 1)" "namespace '$NAMESPACE' of the context"
for node in 0 1 2 3; do
	like "rank $node ran" "$(output $node)" "^rank $node on .*, no shell"
	is "rank $node: the image's environment, and an output comes back" "$(cat "$(run_dir)/outputs/node-$node/note")" yes
done
is "no two of them have one host name" "$(cut -d ' ' -f 4 "$(run_dir)"/ranks/output-*.txt | sort -u | wc -l)" 4
is "no two nodes have one address" "$(events 'e["address"] if e["type"] == "hello" else None' | sort -u | wc -l)" 4
is "the receipt is empty" "$(events 'e["left"] if e["type"] == "receipt" else None')" "[]"
kube_empty "nothing is left"

muster run hello.yaml --set cluster.image=localhost/empty:1 --set 'inputs=[{from: hello}]' --set 'run.command=["{data}/hello"]'
status_is "an image without any program, which is brought" 0
like "it runs" "$(output 3)" "^rank 3 on .*, no shell"
kube_empty "nothing is left"

muster run hello.yaml --set cluster.image=localhost/tools:1 --set 'run.command=echo "$MUSTER_RANK in node {node} of {nodes}" | tee note'
status_is "a shell command in an image with a shell" 0
is "it runs" "$(output 2)" "2 in node 2 of 4"
muster run hello.yaml --set 'run.command=echo $HOME'
status_is "a shell command in an image without a shell" 1
like "says what is missing" "$(why)" "/bin/sh"
muster run hello.yaml --set 'run.command=[/bin/helo]'
status_is "a program that the image does not have" 1
like "is named" "$(why)" "/bin/helo"
muster run hello.yaml --set 'run.command=["{data}/hello"]' --set 'inputs=[{from: hello.c, path: hello}]'
status_is "a program that is none" 1

# A registry that has nothing: the machine's own, which is asked without TLS.
cat >registry.py <<'P'
import http.server, sys
class None_(http.server.BaseHTTPRequestHandler):
    def do_GET(self): self.send_error(404)
    do_HEAD = do_GET
http.server.HTTPServer(("127.0.0.1", 5000), None_).serve_forever()
P
nsenter --net="/run/netns/$KUBE_NAME-1" python3 registry.py 2>/dev/null &
HELPERS=$!
CLEANUP="${CLEANUP:+$CLEANUP; }kill $HELPERS"
asked() { nsenter --net="/run/netns/$KUBE_NAME-1" curl -s http://127.0.0.1:5000/; }
ok "a registry" wait_for 10 asked
muster run hello.yaml --set cluster.image=localhost:5000/none:1 --set 'cluster.kubernetes.node_selector={node: "1"}'
status_is "an image that is not there" 3
like "is named" "$(why)" "localhost:5000/none:1.*not found"
kube_empty "nothing is left"
launch run hello.yaml --set cluster.image=nowhere.invalid/none:1
unreachable() { grep -q "cannot be pulled" "$SCRATCH/bg.err" "$SCRATCH/bg.out"; }
ok "a registry that is out of reach may come back: that is told while it is waited for" wait_for 30 unreachable
kill -INT "$started"
start_finished 60
status_is "interrupted" 130
muster run hello.yaml --set cluster.image=
status_is "no image" 2
like "is a fault of the job" "$err" "image"
kube_done_testing
