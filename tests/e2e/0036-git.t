#!/bin/bash
# Inputs from git: the commit that was meant is on every node, and the run says which it was.
. "$(dirname "$0")/lib.sh" || exit 1

export HOME=$SCRATCH/home GIT_CONFIG_NOSYSTEM=1
mkdir "$HOME"
git config --global user.name tester && git config --global user.email tester@localhost && git config --global init.defaultBranch main
git config --global advice.detachedHead false
git init -q code && cd code || exit 1
printf '#!/bin/sh\necho first\n' >run.sh && chmod 755 run.sh && ln -s run.sh link && git add . && git commit -qm first && git tag v1
first=$(git rev-parse HEAD)
sed -i 's/first/second/' run.sh && git commit -qam second
second=$(git rev-parse HEAD)
git checkout -qb side && sed -i 's/second/side/' run.sh && git commit -qam side && git checkout -q main
cd .. && git clone -q --bare code served/code.git 2>/dev/null && git -C served/code.git update-server-info

# The same repository over http: once by git's own program, once as plain files.
cat >"$SCRATCH/server.py" <<'J'
import http.server, os, subprocess, sys
class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args): pass
    def backend(self):
        path, _, query = self.path.partition("?")
        if not path.startswith("/smart/"): return False
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        env = dict(os.environ, GIT_PROJECT_ROOT=os.getcwd(), GIT_HTTP_EXPORT_ALL="1", PATH_INFO=path[len("/smart"):], QUERY_STRING=query,
            REQUEST_METHOD=self.command, CONTENT_TYPE=self.headers.get("Content-Type") or "", CONTENT_LENGTH=str(len(body)),
            HTTP_CONTENT_ENCODING=self.headers.get("Content-Encoding") or "", GIT_PROTOCOL=self.headers.get("Git-Protocol") or "")
        head, _, rest = subprocess.run(["git", "http-backend"], input=body, env=env, stdout=subprocess.PIPE).stdout.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self.send_response(int(fields.pop("Status", "200").split()[0]))
        for name, value in fields.items(): self.send_header(name, value)
        self.end_headers()
        self.wfile.write(rest)
        return True
    def do_GET(self): self.backend() or super().do_GET()
    def do_POST(self): self.backend()
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
J
(cd served && exec /usr/bin/python3 "$SCRATCH/server.py" >"$SCRATCH/port" 2>"$SCRATCH/server.err") &
HELPERS=$!
CLEANUP="kill $HELPERS 2>/dev/null"
wait_for 20 test -s "$SCRATCH/port"
port=$(cat "$SCRATCH/port")

cat >git.yaml <<J
cluster: {nodes: 2}
inputs:
  - "git+file://$PWD/served/code.git"
  - {from: "git+file://$PWD/served/code.git#v1", path: tag}
  - {from: "git+http://127.0.0.1:$port/smart/code.git#side", path: branch}
  - {from: "git+http://127.0.0.1:$port/smart/code.git#$first", path: commit}
  - {from: "git+http://127.0.0.1:$port/code.git#v1", path: plain}
run: {command: "cd {data}; for i in code tag branch commit plain; do \$i/run.sh; done; readlink code/link; ls -A code"}
J
muster run git.yaml
status_is "from git" 0
expected=$(printf 'second\nfirst\nside\nfirst\nfirst\nrun.sh\nlink\nrun.sh\n')
is "node 0 has each commit" "$(output 0)" "$expected"
is "node 1 has each commit" "$(output 1)" "$expected"
is "the events name the commits" "$(events 'e["commit"][:12] if e["type"] == "input" and "commit" in e else None' | tr '\n' ' ')" \
	"${second:0:12} ${first:0:12} $(git -C code rev-parse side | cut -c 1-12) ${first:0:12} ${first:0:12} "
nok "what was fetched is not kept" test -e "$(run_dir)/fetched"

fails() # NAME FROM WHY
{
	printf 'cluster: {nodes: 2}\ninputs: ["%s"]\nrun: {command: "true"}\n' "$2" >bad.yaml
	muster run bad.yaml
	status_is "$1" 1
	like "$1: says why" "$(why)" "$3"
	nok "$1: nothing was started" event_seen start
}
fails "no such branch" "git+file://$PWD/served/code.git#nobranch" "cannot fetch .*couldn't find remote ref nobranch"
fails "no such repository" "git+http://127.0.0.1:$port/smart/none.git" "cannot fetch .*none\.git"
fails "nobody answers" "git+http://127.0.0.1:1/none.git" "cannot fetch .*([Cc]onnect|refused)"
mkdir "$SCRATCH/bin" && ln -s /bin/sh /bin/true "$SCRATCH/bin"
printf 'cluster: {nodes: 2}\ninputs: ["git+file://%s/served/code.git"]\nrun: {command: "true"}\n' "$PWD" >bad.yaml
PATH=$SCRATCH/bin "$MUSTER" run bad.yaml >"$SCRATCH/out" 2>"$SCRATCH/err"
like "no git: says why" "$(why)" "git is needed on the machine"
is "no git: tried once" "$(events '1 if e["type"] == "input" and "commit" in e else None' | wc -l)" 1
done_testing
