#!/bin/bash
# An input that cannot be had: the run fails before any rank starts, names the input, leaves nothing.
. "$(dirname "$0")/lib.sh" || exit 1

fails() # NAME REGEX [ARGS...]: the job on standard input fails in that way
{
	local name=$1 regex=$2
	shift 2
	cat >bad.yaml
	rm -rf "$MUSTER_RUNS"
	muster run "$@" bad.yaml
	status_is "$name: exit 1" 1
	like "$name: the message names it" "$err $out" "$regex"
	if [ -d "$(run_dir)" ]; then
		is "$name: no rank was started" "$(events 'e["rank"] if e["type"] == "start" else None')" ""
		is "$name: the outcome is failed" "$(outcome)" failed
		like "$name: the report says why" "$(why)" "$regex"
		nothing_is_left "$name: nothing is left"
	fi
}

echo data >good.txt
cat >missing.yaml <<'J'
cluster: {nodes: 2}
inputs: [good.txt, nowhere.txt]
run: {command: "true"}
J
muster run missing.yaml
like "a file that is missing: named" "$err $out" "nowhere\.txt"
status_is "a file that is missing: before any node is made" 2
nothing_is_left "a file that is missing: nothing is left"

fails "wrong sum" "good\.txt.*(sha256|SHA-256|sum)" <<'J'
cluster: {nodes: 2}
inputs: [{from: good.txt, sha256: 0000000000000000000000000000000000000000000000000000000000000000}]
run: {command: "true"}
J

fails "http that nobody serves" "127\.0\.0\.1:1/nothing" <<'J'
cluster: {nodes: 2}
inputs: ["http://127.0.0.1:1/nothing"]
run: {command: "true"}
J

head -c 100k /dev/urandom >noise.tar.gz
fails "not an archive" "noise\.tar\.gz" <<'J'
cluster: {nodes: 1}
inputs: [{from: noise.tar.gz, unpack: true}]
run: {command: "true"}
J

/usr/bin/python3 - <<'P'
import io, tarfile
def make(name, *members):
    with tarfile.open(name, "w") as t:
        for path, kind, target in members:
            info = tarfile.TarInfo(path)
            info.type, info.linkname = kind, target
            data = b"" if kind != tarfile.REGTYPE else b"owned\n"
            info.size = len(data)
            t.addfile(info, io.BytesIO(data))
make("dots.tar", ("../../escaped.txt", tarfile.REGTYPE, ""))
make("absolute.tar", ("/tmp/muster-escaped.txt", tarfile.REGTYPE, ""))
make("link.tar", ("door", tarfile.SYMTYPE, "/tmp"), ("door/muster-escaped.txt", tarfile.REGTYPE, ""))
P
for kind in dots absolute link; do
	fails "a tar that escapes ($kind)" "$kind\.tar" <<J
cluster: {nodes: 1}
inputs: [{from: $kind.tar, unpack: true}]
run: {command: "true"}
J
	nok "a tar that escapes ($kind): nothing escaped" test -e /tmp/muster-escaped.txt -o -e "$MUSTER_RUNS/escaped.txt" -o -e "$SCRATCH/escaped.txt"
done

# A disk that is full: the nodes live on a file system of 48 MiB.
mkdir -p "$SCRATCH/small"
if mount -t tmpfs -o size=48m,mode=700 none "$SCRATCH/small" 2>/dev/null; then
	CLEANUP="umount '$SCRATCH/small'"
	head -c 60M /dev/zero >large.bin
	keep=$MUSTER_NODES_DIR
	export MUSTER_NODES_DIR=$SCRATCH/small/nodes
	fails "disk full" "large\.bin.*([Nn]o space|disk|full)" <<'J'
cluster: {nodes: 2}
inputs: [large.bin]
run: {command: "true"}
J
	export MUSTER_NODES_DIR=$keep
else
	skip "disk full" "no file system can be mounted"
fi
done_testing
