#!/bin/bash
# Ranks that behave badly: who leaves the group and writes on, who floods the metrics, thousands of files; and strangers that stay silent.
. "$(dirname "$0")/lib.sh" || exit 1

cat >escape.yaml <<'J'
name: escape
cluster: {nodes: 2}
run: {command: "setsid sh -c 'while :; do echo more; done' & echo said; exit 0"}
J
start run escape.yaml
start_finished 60
status_is "who escapes and writes on does not hold the run" 0
nothing_is_left "and does not stay"

cat >flood.yaml <<'J'
name: flood
cluster: {nodes: 1}
run: {timeout: 3s, grace: 1s, command: "exec yes '{\"name\": \"x\", \"value\": 1}' >&3"}
J
echo "{lease: 5, heartbeat: 1}" >site.yaml
start run --site site.yaml flood.yaml
start_finished 90
status_is "a flood of metrics: the timeout ends it" 1
like "why" "$(why)" timeout
is "nobody was lost" "$(events '1 if e["type"] == "lost" else None' | wc -l)" 0

cat >files.yaml <<'J'
name: files
cluster: {nodes: 2}
run: {command: "i=0; while [ $i -lt 1500 ]; do i=$((i + 1)); echo $i >>{out}/f$i; done; head -c 100000 /dev/zero | tee {out}/g1 {out}/g2 {out}/g3 >{out}/g4"}
outputs: ["*"]
J
(ulimit -n 400 && exec "$MUSTER" run files.yaml >"$SCRATCH/out" 2>"$SCRATCH/err")
status=$?
status_is "thousands of files with few descriptors" 0
is "all are there" "$(find "$(run_dir)/outputs" -type f | wc -l)" 3008
is "each is right" "$(cat "$(run_dir)"/outputs/node-1/f1500)" 1500

cat >job.yaml <<'J'
name: guarded
cluster: {nodes: 1}
run: {grace: 1s, command: "echo ready; exec sleep 1000"}
J
ready() { has_line "$(run_dir)/ranks/output-0.txt" ready; }
start run job.yaml
ok "it runs" wait_for 20 ready
url=$(json_value "$(run_dir)/control.json" 'e["url"]')
cat >silent.py <<'P'
import socket, ssl, sys, time
c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
c.check_hostname = False
c.verify_mode = ssl.CERT_NONE
s = c.wrap_socket(socket.create_connection(("127.0.0.1", int(sys.argv[1])), 5))
s.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
          b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: muster-1\r\n\r\n")
begin, s_open = time.time(), b""
s.settimeout(30)
try:
    while True:
        got = s.recv(1000)
        if not got:
            break
        s_open += got
except OSError:
    pass
print("101" if b" 101 " in s_open else "refused", "closed" if time.time() - begin < 25 else "open")
P
is "a stranger that says nothing is dropped" "$(/usr/bin/python3 silent.py "${url##*:}")" "101 closed"
like "that is logged" "$(events 'e["why"] if e["type"] == "refused" else None')" "no hello"
kill -INT "$started"
start_finished 20
status_is "the run knows nothing of it" 130
done_testing
