#!/bin/bash
# The executor contract with the real agent: on every executor that needs no cluster N nodes say hello, and blanks, quotes, newlines and $ in
# arguments and environment arrive unchanged.
. "$(dirname "$0")/../e2e/lib.sh"
. "$TESTS/../e2e/engine.sh"
engine_start
engine_image shell:1 /bin/sh || exit 1

# What must survive, byte by byte.
value=$' a  b\t"c" \'d\' $HOME `id` $(id) \\n \\ *? ~ {x} {{ %s & | ; < > # !\nsecond line\n\n  ü end '
/usr/bin/python3 - "$value" >job.json <<'P'
import json, sys
value = sys.argv[1]
print(json.dumps({
    "name": "arrive",
    "cluster": {"nodes": 3},
    "run": {
        "command": ["/bin/sh", "-c", 'printf "%s|" "$0" "$@" >args; printf "%s" "$ODD" >env', value, "", value, "-n", "last"],
        "env": {"ODD": value},
    },
    "outputs": ["args", "env"],
}))
P
expected_args="$value||$value|-n|last|"

. "$TESTS/../e2e/hosts.sh"
hosts_start 3
executors=$("$MUSTER" doctor --json | /usr/bin/python3 -c 'import json, sys; print(*json.load(sys.stdin)["executors"])')
like "there are executors" "$executors" "local"
# An agent that needs libraries (the sanitizers') is none for hosts and containers, which have nothing but it.
ldd "$(dirname "$MUSTER")/muster-agent" 2>/dev/null | grep -q 'libc\.so' && executors=local
for executor in $executors; do
	[ "$executor" != kubernetes ] || continue # that needs a cluster: tests/kube/e2e/0104-names.t
	more=()
	[ "$executor" = ssh ] && more=(--set 'cluster.hosts=[h0,h1,h2]')
	[ "$executor" = docker ] && more=(--set cluster.image=shell:1)
	muster run job.json --set cluster.executor="$executor" "${more[@]}"
	status_is "$executor: it succeeds" 0
	dir=$(run_dir)
	is "$executor: every node said hello once" "$(events 'e["node"] if e["type"] == "hello" else None' | sort | tr '\n' ' ')" "0 1 2 "
	is "$executor: no two nodes have one address" "$(events 'e["address"] if e["type"] == "hello" else None' | sort -u | wc -l)" 3
	for node in 0 1 2; do
		is "$executor: node $node: arguments" "$(cat "$dir/outputs/node-$node/args"; echo .)" "$expected_args."
		is "$executor: node $node: environment" "$(cat "$dir/outputs/node-$node/env"; echo .)" "$value."
	done
	is "$executor: the receipt is empty" "$(events 'e["left"] if e["type"] == "receipt" else None')" "[]"
	nothing_is_left "$executor: nothing is left"
done
done_testing
