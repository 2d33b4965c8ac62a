#!/bin/bash
# Inputs, setup, metrics, outputs, preflight and retries in pods, as everywhere.
. "$(dirname "$0")/../lib.sh" || exit 1
kube_tools

mkdir -p tree/sub && seq 1 20000 >tree/numbers && ln -s numbers tree/link && echo x >tree/sub/x && chmod 750 tree/sub/x
tar -czf packed.tar.gz tree
cat >files.yaml <<'J'
name: files
cluster: {executor: kubernetes, nodes: 2, image: "localhost/tools:1"}
inputs: [{from: tree}, {from: packed.tar.gz, unpack: true, path: unpacked}]
setup:
  - {name: prepare, run: 'echo prepared >{data}/prepared'}
run:
  command: |
    cat {data}/prepared; sha256sum <{data}/tree/link; sha256sum <{data}/unpacked/tree/numbers; stat -c %a {data}/tree/sub/x
    for i in 1 2 3; do echo "step $i loss 0.$i"; done
    mkdir -p {out}/deep; cp {data}/tree/numbers {out}/deep/numbers-{rank}; ln -s numbers-{rank} {out}/deep/link
metrics: [{name: loss, pattern: 'step (?<step>\d+) loss (?<value>[0-9.]+)'}]
outputs: ["deep/*"]
J
sum=$(sha256sum <tree/numbers)
muster run files.yaml
status_is "files there and back" 0
is "as they were" "$(output 1 | head -n 4)" "prepared
$sum
$sum
750"
is "metrics of both ranks" "$(json_lines "$(run_dir)/metrics.jsonl" 'e["value"] if e["type"] == "metric" else None' | sort | tr '\n' ' ')" "0.1 0.1 0.2 0.2 0.3 0.3 "
ok "outputs" cmp tree/numbers "$(run_dir)/outputs/node-1/deep/numbers-1"
is "a link among them" "$(readlink "$(run_dir)/outputs/node-0/deep/link")" numbers-0
kube_empty "nothing is left"

muster run files.yaml --set 'setup=[{name: broken, run: "echo because; exit 5"}]'
status_is "a setup step that fails" 1
like "is named" "$(why)" "broken"

cat >again.yaml <<'J'
name: again
cluster: {executor: kubernetes, nodes: 2, image: "localhost/tools:1"}
run: {retries: 2, command: 'n=$(cat {data}/n 2>/dev/null || echo 0); echo $((n + 1)) >{data}/n; echo "try $n"; [ {rank} = 0 ] || [ "$n" = 2 ]'}
J
muster run again.yaml
status_is "what fails twice is tried three times" 0
kube_empty "nothing is left"

sed 's/^run:/preflight: true\nrun:/' files.yaml | grep -v '^setup\|prepare' >preflight.yaml
muster run files.yaml --preflight
status_is "preflight" 0
kube_done_testing
