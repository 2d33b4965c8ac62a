#!/bin/bash
# A cluster of containers that stays up, of an image with nothing in it but one program: jobs on it, scale, faults, down.
. "$(dirname "$0")/lib.sh" || exit 1
. "$TESTS/engine.sh"
engine_start

cat >hello.c <<'C'
#include <stdio.h>
#include <unistd.h>
int main(void)
{
	char host[64] = "";
	gethostname(host, sizeof host);
	return printf("on %s\n", host) < 0;
}
C
ok "a static program is built" gcc -O2 -static -w -o hello hello.c
mkdir -p root/bin && cp hello root/bin/
ok "an image from it" engine_import bare:1 root
echo 'cluster: {executor: docker, nodes: 2, image: "bare:1"}' >lab.yaml
echo 'run: {command: [/bin/hello]}' >job.yaml
ls_says() { "$MUSTER" ls lab | grep -qE -- "$1"; }
controller() { pid_in "$(echo "$MUSTER_CLUSTERS"/lab/*)/control.json"; }
containers() { engine_containers | wc -l; }

muster up lab.yaml
status_is "up" 0
is "two containers" "$(containers)" 2
muster exec lab -- /bin/hello
status_is "exec" 0
is "in both" "$(echo "$out" | wc -l)" 2
muster run job.yaml --on lab
status_is "a job" 0
like "in the same" "$(output 1)" "^on node-1"
muster run job.yaml --on lab
status_is "and another" 0
is "no container more" "$(containers)" 2
echo '{inputs: [{from: root, live: true}], run: {command: [/bin/hello]}}' >live.yaml
muster run live.yaml --on lab
status_is "a live input of a job in containers that do not have it" 2
like "is refused before anything is done" "$err" "'root' is live.*docker executor do not see"
muster scale lab 3
status_is "scale up" 0
muster run job.yaml --on lab
is "a job on three" "$(find "$(run_dir)/ranks" -name 'output*' | wc -l)" 3

killed=$(controller)
kill -9 "$killed"
ok "the controller is killed" wait_for 10 gone "$killed"
muster run job.yaml --on lab
status_is "a job brings it back" 0
ok "all nodes are there" ls_says 'lab +up +docker +3 '

muster scale lab 1
status_is "scale down" 0
muster run job.yaml --on lab
status_is "a job on one" 0
muster down lab
status_is "down" 0
ok "the engine is empty" engine_is_empty
done_testing
