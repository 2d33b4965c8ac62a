#!/bin/bash
# A run in one file, done again from it, and compared.
. "$(dirname "$0")/lib.sh" || exit 1

echo "some words" >words.txt
mkdir -p images/sub && echo one >images/sub/a
cat >job.yaml <<'J'
name: packed
cluster: {nodes: 2}
inputs: [words.txt, images]
run:
  command: 'i=0; while [ $i -lt 10 ]; do i=$((i + 1)); sleep 0.02; echo "step $i/10 {rank}"; done; cp {data}/words.txt result-{rank}'
outputs: ["result-*"]
J
muster run -q job.yaml
id=$(basename "$(run_dir)")
odd=$(run_dir)/outputs/node-0/$'caf\351' deep=$(run_dir)/outputs/node-0/$(printf 'd/%.0s' {1..100})
echo latin >"$odd" && ln -s $'caf\351' "$odd-link" && mkdir -p "$deep" && echo deep >"${deep}file"
muster export
status_is "export" 0
is "writes a file and says where" "$out" "$id.bundle.tar"
tar -xOf "$id.bundle.tar" "$id/bundle.json" >bundle.json
is "what it was" "$(json_value bundle.json '(e["id"], e["outcome"], len(e["machines"]), e["machines"][0]["cores"] > 0)')" "[\"$id\", \"ok\", 2, true]"
is "what it was given" "$(json_value bundle.json 'sorted(set((i["name"], i["sha256"]) for i in e["inputs"] if "sha256" in i))')" "[[\"words.txt\", \"$(sha256sum words.txt | cut -d' ' -f1)\"]]"
is "a directory has a sum of its own" "$(json_value bundle.json 'len(set(i["tree"] for i in e["inputs"] if i["name"] == "images"))')" 1
like "what it left" "$(tar -tf "$id.bundle.tar")" "$id/outputs/node-1/result-1"
mkdir read
ok "the user's tar reads it" tar -xf "$id.bundle.tar" -C read
ok "a name that is not UTF-8" cmp "read/$id/outputs/node-0/"$'caf\351' "$odd"
is "a symbolic link" "$(readlink "read/$id/outputs/node-0/"$'caf\351-link')" $'caf\351'
ok "a file 100 levels deep" cmp "read/$id${deep#"$(run_dir)"}file" "${deep}file"
is "they are on its list" "$(json_value bundle.json 'sorted([f["path"], f.get("link")] for f in e["files"] if "caf" in f["path"])')" \
	'[["outputs/node-0/caf\\xe9", null], ["outputs/node-0/caf\\xe9-link", "caf\\xe9"]]'

rm job.yaml
muster rerun "$id.bundle.tar" -q
status_is "rerun" 0
like "does it again and compares" "$out" "$id, repeated as packed-.*
  was ok, is ok
  then  measured, [0-9.]+ s
  now   measured, [0-9.]+ s"
unlike "nothing else is different" "$out" "different:"
is "it is a run like others" "$(find "$MUSTER_RUNS" -maxdepth 1 -name 'packed-*' | wc -l)" 2

echo "other words" >words.txt
muster rerun "$id.bundle.tar" -q
like "another input is told" "$out" "different: input words.txt of node 0 differs"
echo two >images/sub/a
muster rerun "$id.bundle.tar" -q
like "another file in a directory, too" "$out" "different: input images of node 1 differs"
rm words.txt
muster rerun "$id.bundle.tar" -q
status_is "a missing one is a failure" 1
like "which names it" "$out$err" "words.txt'?: No such file"
like "and is compared all the same" "$out" "was ok, is failed"

mkdir again && tar -xf "$id.bundle.tar" -C again
echo changed >"again/$id/outputs/node-0/result-0"
tar -cf changed.tar -C again "$id"
muster rerun changed.tar
status_is "a bundle that was changed" 2
like "is refused" "$err" "changed.tar is not a bundle: outputs/node-0/result-0 was changed"
tar -xf "$id.bundle.tar" -C again
echo more >"again/$id/more"
tar -cf changed.tar -C again "$id"
muster rerun changed.tar
like "something that was put in" "$err" "changed.tar is not a bundle: more is not on its list of files"
rm "again/$id/more"
python3 - "again/$id/bundle.json" <<'P'
import json, sys
e = json.load(open(sys.argv[1]))
e["files"] = [f for f in e["files"] if f["path"] != "plan.json"]
json.dump(e, open(sys.argv[1], "w"))
P
tar -cf changed.tar -C again "$id"
muster rerun changed.tar
like "a plan that nobody vouches for" "$err" "changed.tar is not a bundle: its list of files does not contain plan.json"
tar -xf "$id.bundle.tar" -C again
sed -i 's/"muster": "[^"]*"/"muster": "0.0.9"/' "again/$id/bundle.json"
tar -cf older.tar -C again "$id"
echo "some words" >words.txt
muster rerun older.tar -q
status_is "a bundle of an older muster" 0
like "is done again, and it is said" "$out" "different: muster was 0.0.9 and is "
head -c 8000 "$id.bundle.tar" >torn.tar
muster rerun torn.tar
status_is "a torn one" 2

# Of a run that failed, and of one that goes on.
cat >fails.yaml <<'J'
name: fails
run: {command: exit 7}
J
muster run -q fails.yaml
muster export --out fails.tar
muster rerun -q fails.tar
status_is "a run that failed fails again" 1
like "and it is said how" "$out" "was failed, is failed
  then  failed: rank 0 on node 0 exited with status 7
  now   failed: rank 0 on node 0 exited with status 7"
start run fails.yaml --set run.command='sleep 100'
muster export "$(basename "$(run_dir)")"
status_is "a run that goes on" 2
like "is none to pack" "$err" "has not ended"
kill -INT "$started"
start_finished 20
echo nonsense >nonsense.tar
muster rerun nonsense.tar
status_is "not a bundle" 2
muster export --out /nonexistent/x "$id"
status_is "a place that is none" 3
ok "no temporary directory is left" test -z "$(ls -d "${TMPDIR:-/tmp}"/muster-rerun-* "${TMPDIR:-/tmp}"/muster-bundle-* 2>/dev/null)"
done_testing
