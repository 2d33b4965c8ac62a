#!/bin/bash
# Outputs that cannot be brought back: the run fails with status 1 and says which and why, the node keeps them, and `muster reap` removes them.
. "$(dirname "$0")/lib.sh" || exit 1
. "$TESTS/hosts.sh"

kept_in() { events 'e["why"].split(chr(39))[1] if e["type"] == "warn" and "are kept in" in e["why"] else None' "$1"; }
lost() { events '[e["path"], e["why"]] if e["type"] == "output" and e["ok"] is False else None' "$1"; }

# --- what the node cannot read ------------------------------------------------------

# Root reads everything, so another user does it.
user=65534
theirs=$(mktemp -d /tmp/muster-user.XXXXXX)
CLEANUP="${CLEANUP:+$CLEANUP; }rm -rf $theirs"
cp "$MUSTER" "$(dirname "$MUSTER")/muster-agent" "$theirs" && chown -R $user:$user "$theirs"
as_user()
{
	(cd "$theirs" && env MUSTER_RUNS="$theirs/runs" MUSTER_NODES_DIR="$theirs/nodes" HOME="$theirs" \
		setpriv --reuid $user --regid $user --clear-groups ./muster "$@" >"$SCRATCH/out" 2>"$SCRATCH/err")
	status=$?
	out=$(cat "$SCRATCH/out") err=$(cat "$SCRATCH/err")
}
cat >"$theirs/closed.yaml" <<'J'
run:
  command: mkdir dir open; echo 1 >dir/x; echo 2 >open/file; echo 3 >open/fine; chmod 0 dir open/file
outputs: ["dir/**", "open/*"]
J
as_user run closed.yaml
dir=$(echo "$theirs"/runs/closed-*)
status_is "a directory and a file that may not be read" 1
is "the run has failed" "$(outcome "$dir")" failed
is "both are told" "$(lost "$dir" | sort | tr '\n' ' ')" '["dir", "Permission denied"] ["open/file", "Permission denied"] '
like "and why the run failed" "$(why "$dir")" "an output could not be brought back: '(dir|open/file)' of node 0: Permission denied \(and 1 more\)"
like "on the terminal too" "$out$err" "output dir was not brought back: Permission denied"
is "the others came back" "$(cat "$dir/outputs/node-0/open/fine")" 3
is "the report has them" "$(json_value "$dir/report.json" '[e["outputs_total"]["lost"], len(e["lost_outputs"]), e["failure"]["phase"]]')" '[2, 2, "collect"]'
kept=$(kept_in "$dir")
is "it is said where they are kept" "$kept" "$theirs/nodes/$(basename "$dir")/node-0/out"
is "there they are" "$(cat "$kept/dir/x" "$kept/open/file" | tr '\n' ' ')" "1 2 "
is "and nothing else" "$(find "$(dirname "$kept")" -mindepth 1 -maxdepth 1 -printf '%f\n' | sort | tr '\n' ' ')" "kept out "
is "the receipt has the directory" "$(events '[x["what"] for x in e["left"]] if e["type"] == "receipt" else None' "$dir")" '["directory"]'
as_user reap
status_is "reap removes them" 0
is "all of them" "$(ls "$theirs/nodes" 2>/dev/null)" ""

# --- what the controller cannot write -----------------------------------------------

# A file is in the way of the node's outputs.
cat >blocked.yaml <<J
run: {command: 'touch $MUSTER_RUNS/\$MUSTER_RUN/outputs/node-0; echo precious >result; echo 2 >two; : >empty; ln -s two link'}
outputs: ["*"]
setup: [{run: echo prepared}]
J
muster run blocked.yaml
status_is "a run directory that cannot be written to" 1
is "every output is told" "$(lost "$(run_dir)" | grep -c 'Not a directory')" 5
kept=$(kept_in "$(run_dir)")
is "and kept" "$(cat "$kept/result")" precious
is "so is the log of the setup" "$(cat "$(dirname "$kept")/setup.log")" prepared
muster reap "$(basename "$(run_dir)")"
status_is "reap of that run" 0
nothing_is_left "removes it"

cat >full.yaml <<'J'
run: {command: 'head -c 3000000 /dev/zero >big'}
outputs: [big]
J
mkdir small
unshare -m bash -c 'mount -t tmpfs -o size=1m none small && MUSTER_RUNS=$PWD/small "$0" run full.yaml; echo "status $?"; cat small/*/outputs/node-0/big | wc -c' "$MUSTER" >full.out 2>&1
like "a full disk" "$(cat full.out)" "status 1"
like "says so" "$(cat full.out)" "output big was not brought back: cannot write: No space left on device"
is "the file is kept whole" "$(stat -c %s "$MUSTER_NODES_DIR"/full-*/node-0/out/big)" 3000000
muster reap
nothing_is_left "reap removes it"

# A rank's failure is what the run failed of, but its outputs are kept all the same.
muster run blocked.yaml --set 'run.command=touch '"$MUSTER_RUNS"'/$MUSTER_RUN/outputs/node-0; echo precious >result; exit 7'
status_is "a rank that fails, too" 1
like "is why the run failed" "$(why)" "exited with status 7"
ok "its outputs are kept" test -s "$(kept_in "$(run_dir)")/result"
muster reap
nothing_is_left "until they are reaped"

# --- on a persistent cluster, on hosts ----------------------------------------------

printf 'cluster: {nodes: 2}\n' >lab.yaml
"$MUSTER" up -q lab.yaml
muster run blocked.yaml --on lab
status_is "on a persistent cluster" 1
kept=$(kept_in "$(run_dir)")
is "they are kept on its node" "$(cat "$kept/result")" precious
like "until it goes" "$(cat "$(run_dir)/events.jsonl")" "kept in '$kept' on [^ ]* until the cluster is taken down"
muster run blocked.yaml --on lab --set 'run.command=echo fine'
status_is "other jobs run on it" 0
"$MUSTER" down -q lab
nothing_is_left "and go with it"

hosts_start 2
muster run blocked.yaml --set cluster.executor=ssh --set 'cluster.hosts=[h0, h1]' --set 'outputs=[result]'
status_is "on hosts" 1
is "one of two nodes has trouble" "$(lost "$(run_dir)" | wc -l)" 2
kept=$(kept_in "$(run_dir)")
like "which keeps its outputs" "$kept" "^$FARM/h0/"
is "there they are" "$(cat "$kept/result")" precious
like "the receipt has its host and directory" "$(events 'str([x["id"] for x in e["left"]]) if e["type"] == "receipt" else None')" "$(dirname "$(dirname "$kept")") on .*h0"
is "the other node's came back" "$(cat "$(run_dir)/outputs/node-1/result")" precious
is "and its directory is gone" "$(ls "$FARM/h1/nodes" 2>/dev/null)" ""
muster reap
status_is "reap goes to the host" 0
ok "and removes them" wait_for 5 hosts_are_clean
done_testing
