#!/bin/bash
# Somebody else at the controller's port: garbage, a wrong token, a token of another run. Refused, logged, no effect.
. "$(dirname "$0")/lib.sh" || exit 1

cat >job.yaml <<'J'
name: guarded
cluster: {nodes: 2}
run: {command: "echo ready; while [ ! -e {data}/go ]; do sleep 0.05; done; echo done"}
J
ready() { has_line "$(run_dir)/ranks/output-0.txt" ready && has_line "$(run_dir)/ranks/output-1.txt" ready; }
refused() { events '1 if e["type"] == "refused" else None' | wc -l; }
refused_more_than() { [ "$(refused)" -gt "$1" ]; }

# A run that has ended leaves a token: what its agents were told.
cat >recorder <<J
#!/bin/sh
tee -a "$SCRATCH/told" | "$(dirname "$MUSTER")/muster-agent"
J
chmod +x recorder
MUSTER_AGENT=$PWD/recorder muster run job.yaml --set 'run.command=echo short'
status_is "an earlier run" 0
old=$(json_lines "$SCRATCH/told" 'e["token"] if e["node"] == 1 else None')
like "its token" "$old" '^[0-9a-f]{64}$'

start run job.yaml
ok "it runs" wait_for 20 ready
dir=$(run_dir)
url=$(json_value "$dir/control.json" 'e["url"]')
print=$(json_value "$dir/control.json" 'e["fingerprint"]')
is "control.json is for its owner only" "$(stat -c %a "$dir/control.json")" 600
port=${url##*:}
port=${port%%/*}
nok "no token is on a command line" grep -lzF "$(json_value "$dir/control.json" 'e["token"]')" /proc/[0-9]*/cmdline

before=$(refused)
head -c 100000 /dev/urandom >noise
/usr/bin/python3 - "$port" <<'P'
import socket, sys
for data in (b"", b"hello\n", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", open("noise", "rb").read()):
    s = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 5)
    try:
        s.sendall(data)
        s.settimeout(0.2)
        s.recv(100)
    except OSError:
        pass
    s.close()
P
ok "garbage is logged" wait_for 10 refused_more_than "$before"

# A whole agent, with everything right but the token.
intrude() # TOKEN NODE: in the background; its configuration as the executor would write it
{
	printf '{"run": "%s", "node": %s, "nodes": 2, "token": "%s", "url": "%s", "fingerprint": "%s", "address": "127.0.0.1", "name": "127.0.0.1", "dir": "%s", "lease": 2, "heartbeat": 1}\n' \
		"$(basename "$dir")" "$2" "$1" "$url" "$print" "$SCRATCH/intruder" | "$(dirname "$MUSTER")/muster-agent" >"$SCRATCH/intruder.log" 2>&1 &
	intruder=$!
}
for token in 0000000000000000000000000000000000000000000000000000000000000000 "" "$old"; do
	before=$(refused)
	intrude "$token" 1
	ok "an agent with the token '$token' is refused and that is logged" wait_for 20 refused_more_than "$before"
	ok "it gives up" wait_for 20 gone "$intruder"
	kill -9 "$intruder" 2>/dev/null
	wait "$intruder" 2>/dev/null
	rm -rf "$SCRATCH/intruder"
done

for node in 0 1; do touch "$MUSTER_NODES_DIR/$(basename "$dir")/node-$node/data/go"; done
start_finished 20
status_is "the run knows nothing of it" 0
is "the outcome is ok" "$(outcome)" ok
is "both ranks ended well" "$(output 0; output 1)" $'ready\ndone\nready\ndone'
is "no node was lost" "$(events '1 if e["type"] == "lost" else None' | wc -l)" 0
done_testing
