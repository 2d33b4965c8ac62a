#!/bin/bash
# An engine reached by TCP with TLS, which sees none of this machine's files: the agent is copied into the containers.
. "$(dirname "$0")/lib.sh" || exit 1
. "$TESTS/engine.sh"

mkdir keys && cd keys || exit 1
sign() # NAME SUBJECT EXTENSION
{
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1-key.pem" -subj "/CN=$2" -out "$1.csr" 2>/dev/null &&
		openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca-key.pem -CAcreateserial -days 2 -out "$1.pem" -extfile <(echo "$3") 2>/dev/null
}
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca-key.pem -subj /CN=ca -days 2 -out ca.pem 2>/dev/null
ok "keys" sign server engine subjectAltName=IP:127.0.0.1
sign cert client extendedKeyUsage=clientAuth && mv cert-key.pem key.pem
cd ..
engine_start --tlsverify --tlscacert "$PWD/keys/ca.pem" --tlscert "$PWD/keys/server.pem" --tlskey "$PWD/keys/server-key.pem" -H tcp://127.0.0.1:2376
engine_image shell:1 /bin/sh /bin/cat || exit 1

# The engine listens in its own network name space, so that is where muster goes.
real=$MUSTER
cat >"$SCRATCH/there" <<S
#!/bin/sh
exec nsenter -t $(pgrep -P "$ENGINE_PID") -n "$real" "\$@"
S
chmod +x "$SCRATCH/there"
MUSTER=$SCRATCH/there
export DOCKER_HOST=tcp://127.0.0.1:2376 DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH=$PWD/keys
cat >job.yaml <<'J'
name: remote
cluster: {executor: docker, nodes: 2, image: "shell:1"}
run:
  command: "i=0; while [ $i -lt 20000 ]; do echo 'a line of output that is not short' $i; i=$((i + 1)); done"
J
muster run -q job.yaml
status_is "two containers of an engine elsewhere" 0
for rank in 0 1; do
	is "rank $rank: every line came" "$(output $rank | awk '$NF != NR - 1' | wc -l) $(output $rank | wc -l)" "0 20000"
done
mv keys/key.pem keys/none.pem
muster run -q job.yaml
status_is "without the client's key" 3
like "it is named" "$err$(why)" "keys/key.pem"
mv keys/none.pem keys/key.pem
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout keys/other-key.pem -subj /CN=other -days 2 -out keys/other.pem 2>/dev/null
cp keys/ca.pem keys/saved.pem && cp keys/other.pem keys/ca.pem
muster run -q job.yaml
status_is "an engine that cannot be trusted" 3
like "is not" "$err$(why)" "not trusted"
cp keys/saved.pem keys/ca.pem
DOCKER_TLS_VERIFY='' muster run -q job.yaml
status_is "without TLS" 3
MUSTER=$real
export DOCKER_HOST=unix://$ENGINE_DIR/docker.sock
ok "the engine is empty again" engine_is_empty
done_testing
