#!/bin/bash
# What containers are made of and what they share: an image that is built, volumes, live files, limits.
. "$(dirname "$0")/lib.sh" || exit 1
. "$TESTS/engine.sh"
engine_start
ok "an image of this machine's programs" engine_image tools:1 /bin/sh /bin/cat /bin/sleep /usr/bin/head /usr/bin/tail /usr/bin/nproc

# --- live ---------------------------------------------------------------------
mkdir src && echo one >src/word
cat >live.yaml <<'J'
name: live
cluster: {executor: docker, nodes: 2, image: "tools:1"}
inputs: [{from: src, live: true}, {from: src/word, path: single, live: true}]
run:
  command: |
    cat {data}/single; until [ "$(cat {data}/src/word)" = two ]; do sleep 0.05; done; echo edited; echo {rank} >{data}/src/from-{rank}
J
start run live.yaml
both_wait() { [ "$(cat "$(run_dir)"/ranks/output-*.txt 2>/dev/null | grep -c one)" -eq 2 ]; }
ok "both containers see the file as it is" wait_for 20 both_wait
echo two >src/word
start_finished 20
status_is "and as it is edited here" 0
is "in both" "$(cat "$(run_dir)"/ranks/output-*.txt | grep -c edited)" 2
is "what they write is here" "$(cat src/from-0 src/from-1 | tr '\n' ' ')" "0 1 "
ok "the end takes nothing away" test -s src/word
DOCKER_HOST=tcp://127.0.0.1:1 muster run live.yaml
status_is "live with an engine elsewhere" 2
like "is refused before anything is made" "$err" "live.*does not see this machine's files"
muster run live.yaml --set cluster.executor=local --set cluster.image=null --set inputs[1]=null --set 'run.command=cat {data}/src/word'
muster run live.yaml --set cluster.image=nothere:1 --set cluster.executor=local
status_is "an image with the local executor" 2
like "is refused" "$err" "cluster.image. with .executor: local., expected it with .executor: docker. or .executor: kubernetes. only"
cat >local.yaml <<'J'
name: local
inputs: [{from: src, live: true}]
run: {command: "cat {data}/src/word; echo three >{data}/src/word"}
J
muster run local.yaml
status_is "live on this machine" 0
is "is the directory itself" "$(output 0) $(cat src/word)" "two three"

# --- volumes and limits -------------------------------------------------------
mkdir shared && echo hidden >shared/secret
cat >limits.yaml <<'J'
name: limits
cluster: {executor: docker, nodes: 2, image: "tools:1", memory: 64Mi, cpus: 0.5, volumes: ["./shared:/shared:ro"]}
run:
  command: |
    cat /shared/secret; echo no 2>/dev/null >/shared/new || echo read-only
    if [ {rank} = 1 ]; then echo before; head -c 500000000 /dev/zero | tail; exit $?; fi
    sleep 1000
J
muster run limits.yaml
status_is "more memory than allowed" 1
like "why: rank and memory" "$(why)" "rank 1.*out of memory"
like "a volume is there, and it is read-only" "$(output 1 | tr '\n' ' ')" "hidden read-only before"
ok "nothing was written to it" test ! -e shared/new
muster run limits.yaml --set 'run.command=sleep 1000' --set cluster.memory=1Mi
status_is "less memory than a container needs" 3
like "is said by the engine" "$(why)" "[Mm]inimum memory"

# --- build --------------------------------------------------------------------
mkdir context && cat >context/Dockerfile <<'D'
FROM tools:1
ARG WORD=none
COPY . /context
RUN echo "$WORD" >/built
D
printf 'left-out\n*.tmp\n' >context/.dockerignore
echo in >context/in; echo out >context/left-out; echo out >context/x.tmp
cat >build.yaml <<'J'
name: built
cluster: {executor: docker, nodes: 2, build: {context: context, args: {WORD: fresh}}}
run: {command: "cat /built /context/in; for f in /context/*; do echo $f; done"}
J
muster run build.yaml
status_is "an image is built" 0
is "with its arguments, its files and without those left out" "$(output 1 | tr '\n' ' ')" "fresh in /context/Dockerfile /context/in "
like "its steps are told" "$(events 'e["step"] if e["type"] == "image" and "step" in e else None' | tr '\n' ' ')" "Step 1/5.*Step 4/5"
like "on the terminal too" "$out$err" "Step 4/5"
echo 'RUN echo last words; no-such-program' >>context/Dockerfile
muster run build.yaml
status_is "a build that fails" 3
like "fails with its last lines" "$(why)" "context'.*last words"
rm context/Dockerfile
muster run build.yaml
like "without a Dockerfile it says so" "$(why)" "context/Dockerfile"
ok "the engine is empty again" engine_is_empty
done_testing
