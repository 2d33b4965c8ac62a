#!/bin/bash
# Inputs of every kind arrive on every node: files, directories, http, every archive, one copy for all.
. "$(dirname "$0")/lib.sh" || exit 1

mkdir -p tree/sub
echo "one" >tree/a.txt
echo "two" >tree/sub/b.txt
printf '#!/bin/sh\necho ran\n' >tree/run.sh && chmod 755 tree/run.sh
head -c 3M /dev/urandom >big.bin
tar -cf tree.tar -C tree .
gzip -k tree.tar
xz -k tree.tar
bzip2 -k tree.tar
zstd -q tree.tar
(cd tree && /usr/bin/python3 -c '
import os, zipfile
with zipfile.ZipFile("../tree.zip", "w", zipfile.ZIP_DEFLATED) as z:
    for folder, _, files in os.walk("."):
        for f in files:
            z.write(os.path.join(folder, f))')

serve() # serves the current directory; its port is $port
{
	/usr/bin/python3 -u -c '
import http.server, sys
class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        print(self.path, self.client_address[0], file=sys.stderr, flush=True)
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()' >"$SCRATCH/port" 2>"$SCRATCH/requests" &
	HELPERS=$!
	CLEANUP="kill $HELPERS 2>/dev/null"
	wait_for 20 test -s "$SCRATCH/port"
	port=$(cat "$SCRATCH/port")
}
serve

cat >kinds.yaml <<J
name: kinds
cluster: {nodes: 2}
inputs:
  - big.bin
  - {from: tree}
  - {from: $SCRATCH/work/tree/a.txt, path: deep/er/renamed.txt}
  - {from: "http://127.0.0.1:$port/big.bin", path: fetched.bin, sha256: $(sha256sum big.bin | cut -c 1-64)}
  - {from: tree.tar, unpack: true, path: t-tar}
  - {from: tree.tar.gz, unpack: true, path: t-gz}
  - {from: tree.tar.xz, unpack: true, path: t-xz}
  - {from: tree.tar.bz2, unpack: true, path: t-bz2}
  - {from: tree.tar.zst, unpack: true, path: t-zst}
  - {from: tree.zip, unpack: true, path: t-zip}
  - {from: "http://127.0.0.1:$port/tree.tar.gz", unpack: true, path: t-http}
run:
  command: |
    cd {data} && find . -type f | sort | xargs sha256sum
    tree/run.sh; t-tar/run.sh
J
muster run kinds.yaml
status_is "inputs of every kind" 0
expected=$(
	mkdir expected && cd expected && cp ../big.bin . && cp -r ../tree . && mkdir -p deep/er && cp ../tree/a.txt deep/er/renamed.txt && cp ../big.bin fetched.bin
	for kind in tar gz xz bz2 zst zip http; do cp -r ../tree t-$kind; done
	find . -type f | sort | xargs sha256sum
	printf 'ran\nran\n'
)
is "node 0 has exactly what was asked for" "$(output 0)" "$expected"
is "node 1 has exactly what was asked for" "$(output 1)" "$expected"
is "each input has an event from each node" "$(events '1 if e["type"] == "input" and e["ok"] else None' | wc -l)" 22
ok "the sources are untouched" test -f big.bin -a -f tree/run.sh

# One copy for all nodes that share a file system: fetched once, seen by all.
: >"$SCRATCH/requests"
cat >once.yaml <<J
cluster: {nodes: 3}
inputs: [{from: "http://127.0.0.1:$port/big.bin", once: true}]
run: {command: "sha256sum <{data}/big.bin; stat -L -c %i {data}/big.bin"}
J
muster run once.yaml
status_is "once" 0
is "it was fetched once" "$(grep -c big.bin "$SCRATCH/requests")" 1
is "every node has it" "$(for r in 0 1 2; do output $r | head -n 1; done | sort -u)" "$(sha256sum <big.bin)"
is "it is there once" "$(for r in 0 1 2; do output $r | tail -n 1; done | sort -u | wc -l)" 1

kill "$HELPERS"
wait "$HELPERS" 2>/dev/null
done_testing
