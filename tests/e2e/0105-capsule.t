#!/bin/bash
# A run in one file, done again from it, and compared.
. "$(dirname "$0")/lib.sh" || exit 1

echo "some words" >words.txt
cat >job.yaml <<'J'
name: packed
cluster: {nodes: 2}
inputs: [words.txt]
run:
  command: 'i=0; while [ $i -lt 10 ]; do i=$((i + 1)); sleep 0.02; echo "step $i/10 {rank}"; done; cp {data}/words.txt result-{rank}'
outputs: ["result-*"]
J
muster run -q job.yaml
id=$(basename "$(run_dir)")
muster export
status_is "export" 0
is "writes a file and says where" "$out" "$id.capsule.tar"
tar -xOf "$id.capsule.tar" "$id/capsule.json" >capsule.json
is "what it was" "$(json_value capsule.json '(e["id"], e["outcome"], len(e["machines"]), e["machines"][0]["cores"] > 0)')" "[\"$id\", \"ok\", 2, true]"
is "what it was given" "$(json_value capsule.json 'sorted(set((i["name"], i["sha256"]) for i in e["inputs"]))')" "[[\"words.txt\", \"$(sha256sum words.txt | cut -d' ' -f1)\"]]"
like "what it left" "$(tar -tf "$id.capsule.tar")" "$id/outputs/node-1/result-1"
ok "the user's tar reads it" tar -xf "$id.capsule.tar" -C "$(mktemp -d -p "$SCRATCH")"

rm job.yaml
muster rerun "$id.capsule.tar" -q
status_is "rerun" 0
like "does it again and compares" "$out" "$id, done again as packed-.*
  was ok, is ok"
unlike "nothing else is different" "$out" "not the same"
is "it is a run like others" "$(ls -d "$MUSTER_RUNS"/packed-* | wc -l)" 2

echo "other words" >words.txt
muster rerun "$id.capsule.tar" -q
like "another input is told" "$out" "not the same: the input words.txt of node 0 is another one"
rm words.txt
muster rerun "$id.capsule.tar" -q
status_is "a missing one is a failure" 1

mkdir again && tar -xf "$id.capsule.tar" -C again
echo changed >"again/$id/outputs/node-0/result-0"
tar -cf changed.tar -C again "$id"
muster rerun changed.tar
status_is "a capsule that was changed" 2
like "is refused" "$err" "changed.tar is no capsule: outputs/node-0/result-0 is not as it was written"
echo nonsense >nonsense.tar
muster rerun nonsense.tar
status_is "no capsule" 2
muster export --out /nonexistent/x "$id"
status_is "a place that is none" 3
ok "no temporary directory is left" test -z "$(ls -d "${TMPDIR:-/tmp}"/muster-rerun-* "${TMPDIR:-/tmp}"/muster-capsule-* 2>/dev/null)"
done_testing
