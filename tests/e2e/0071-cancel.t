#!/bin/bash
# Cancelled in each phase, gently and twice; what was lost is said.
. "$(dirname "$0")/lib.sh" || exit 1

cat >job.yaml <<'J'
name: cancelled
cluster: {nodes: 2}
setup: ["echo here; while [ ! -e {data}/go ]; do sleep 0.05; done"]
run: {grace: 1s, command: "while :; do sleep 0.05; done"}
J
in_setup() { [ "$(events 'e["name"] if e["type"] == "phase" and e.get("edge") == "begin" and "node" in e else None' | grep -c '^setup$')" = 2 ]; }

for times in 1 2; do
	start run job.yaml
	ok "setup goes on ($times)" wait_for 20 in_setup
	kill -INT "$started"
	[ "$times" = 1 ] || { wait_for 10 event_seen signal; kill -INT "$started"; }
	start_finished 20
	status_is "cancelled in setup, $times times: exit 130" 130
	is "cancelled in setup: outcome" "$(outcome)" cancelled
	is "the last event is the end" "$(tail -n 1 "$(run_dir)/events.jsonl" | grep -c '"type":"end"')" 1
	nothing_is_left "cancelled in setup: nothing is left"
	rm -rf "$MUSTER_RUNS"
done

# An input that takes long: a file from a server that never ends it.
cat >slow.py <<'P'
import http.server, sys, time
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.send_header("Content-Length", "1000000"); self.end_headers()
        self.wfile.write(b"x" * 1000); self.wfile.flush()
        time.sleep(60)
    def log_message(self, *a): pass
s = http.server.ThreadingHTTPServer(("127.0.0.1", 0), H)
s.daemon_threads = True
open("port", "w").write(str(s.server_port))
s.serve_forever()
P
env -u MUSTER_E2E /usr/bin/python3 slow.py >/dev/null 2>&1 &
server=$!
CLEANUP="kill $server 2>/dev/null"
ok "a slow server" wait_for 10 test -s port
cat >stage.yaml <<J
name: staged
cluster: {nodes: 2}
inputs: [{name: big, from: "http://127.0.0.1:$(cat port)/big"}]
run: {retries: 3, command: "true"}
J
staging() { [ "$(events '1 if e["type"] == "phase" and e["name"] == "stage" and "node" in e else None' | wc -l)" = 2 ]; }
start run stage.yaml
ok "inputs are fetched" wait_for 20 staging
kill -INT "$started"
start_finished 20
status_is "cancelled while inputs come: exit 130" 130
nothing_is_left "cancelled while inputs come: nothing is left"

# While outputs come back: the second Ctrl-C means that not all are there, and the run does not call itself ok.
cat >collect.yaml <<'J'
name: collected
cluster: {nodes: 1}
run: {command: "truncate -s 2000000000 {out}/big.bin"}
outputs: ["*.bin"]
J
collecting() { [ "$(stat -c %s "$(run_dir)/outputs/node-0/big.bin")" -gt 1000000 ]; }
start run collect.yaml
if wait_for 60 collecting && kill -0 "$started" 2>/dev/null; then
	kill -INT "$started"
	ok "the first Ctrl-C is heard" wait_for 10 event_seen signal
	kill -INT "$started"
	start_finished 20
	if [ "$(stat -c %s "$(run_dir)/outputs/node-0/big.bin")" -lt 2000000000 ]; then
		status_is "cancelled twice while outputs come: exit 130" 130
		is "cancelled twice while outputs come: outcome" "$(outcome)" cancelled
	else
		pass "outputs were too fast for us"
	fi
else
	fail "outputs come back"
fi
nothing_is_left "cancelled while outputs come: nothing is left"
done_testing
