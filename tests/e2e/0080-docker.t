#!/bin/bash
# Containers of a real Docker engine as nodes: any image, an empty one too; names, limits, live files; nothing is left in the engine.
. "$(dirname "$0")/lib.sh" || exit 1
. "$TESTS/engine.sh"
engine_start

# An image with nothing in it but one static program.
cat >hello.c <<'C'
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
int main(int argc, char **argv)
{
	char host[64] = "", name[32], address[64] = "?";
	struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found;
	gethostname(host, sizeof host);
	printf("rank %s on %s, %s\n", getenv("MUSTER_RANK"), host, access("/bin/sh", F_OK) ? "no shell" : "a shell");
	for (int i = 0; i < atoi(getenv("MUSTER_NODES")); i++) {
		snprintf(name, sizeof name, "node-%d", i);
		int rc = getaddrinfo(name, NULL, &hints, &found);
		if (!rc)
			inet_ntop(AF_INET, &((struct sockaddr_in *)found->ai_addr)->sin_addr, address, sizeof address);
		printf("%s is %s\n", name, rc ? gai_strerror(rc) : address);
	}
	FILE *out = fopen("note", "w");
	fprintf(out, "%s\n", getenv("FROM_IMAGE") ? getenv("FROM_IMAGE") : "nothing");
	fclose(out);
	return 0;
}
C
ok "a static program is built" gcc -O2 -static -w -o hello hello.c
mkdir -p root/bin && cp hello root/bin/
ok "an image from it" engine_import bare:1 root 'ENV FROM_IMAGE=yes'

cat >hello.yaml <<'J'
name: hello
cluster: {executor: docker, nodes: 4, image: "bare:1"}
run: {command: [/bin/hello]}
outputs: [note]
J
muster doctor
like "the doctor sees the engine" "$out" "ok +engine +Docker Engine [0-9.]+.* at unix://$ENGINE_DIR/docker.sock"
DOCKER_HOST=unix:///nonexistent/engine.sock muster doctor
like "and that there is none" "$out" "missing +engine .*/nonexistent/engine.sock"
muster run hello.yaml
status_is "four containers of an image without a shell" 0
for node in 0 1 2 3; do
	like "rank $node ran in its own" "$(output $node)" "rank $node on node-$node, no shell"
	is "rank $node: every name has an address" "$(output $node | grep -cE '^node-[0-3] is [0-9.]+$')" 4
	is "rank $node: the image's environment, and an output comes back" "$(cat "$(run_dir)/outputs/node-$node/note")" yes
done
is "no two nodes have one address" "$(events 'e["address"] if e["type"] == "hello" else None' | sort -u | wc -l)" 4
is "the receipt is empty" "$(events 'e["left"] if e["type"] == "receipt" else None')" "[]"
ok "the engine is empty again" engine_is_empty

# A file in the way of what node 0 brings back.
start run hello.yaml
: >"$(run_dir)/outputs/node-0"
start_finished 60
status_is "an output that cannot be written" 1
like "cannot be kept either, and that is said" "$err" "the outputs of this node cannot be kept: the container that is this node is removed with the run"
ok "the engine is empty" engine_is_empty

muster run hello.yaml --set 'run.command=echo $HOME'
status_is "a shell command in an image without a shell" 1
like "says what is missing" "$(why)" "/bin/sh"
muster run hello.yaml --set cluster.image=nowhere.invalid/none:1
status_is "an image that is nowhere" 3
like "is named" "$(why)" "nowhere.invalid/none:1.*not there and cannot be pulled"
done_testing
