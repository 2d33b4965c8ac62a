#!/bin/bash
# Sweeps over hosts that ssh reaches and over containers: the values of a point may be lists of hosts, images, limits.
. "$(dirname "$0")/lib.sh" || exit 1
. "$TESTS/hosts.sh"
. "$TESTS/engine.sh"
hosts_start 3

cat >hosts.yaml <<'J'
name: hosts
cluster: {executor: ssh}
run:
  command: 'i=0; while [ $i -lt 12 ]; do i=$((i + 1)); sleep 0.03; echo "step $i/12"; done; echo {addr} {hosts}'
sweep:
  over: {"cluster.hosts": [[h0], [h1, h2], "h[0-2]"]}
J
muster sweep hosts.yaml
status_is "a hosts value that is no list" 2
like "is refused with its point" "$err" "at the point 'cluster.hosts=.*h\[0-2\].*expected a list"
sed -i 's/, "h\[0-2\]"\]/, ["h[0-2]"]]/' hosts.yaml
muster sweep hosts.yaml
status_is "a sweep over lists of hosts" 0
sweep=$(echo "$MUSTER_RUNS"/sweeps/hosts-*)
is "each on its own hosts" "$(json_value "$sweep/compare.json" '[(r["nodes"], r["kind"], r["executor"]) for r in e["rows"]]')" \
	'[[1, "measured", "ssh"], [2, "measured", "ssh"], [3, "measured", "ssh"]]'
for name in '[h0]' '[h1, h2]'; do
	run=$(json_value "$sweep/compare.json" "[r['runs'][0] for r in e['rows'] if r['name'] == 'cluster.hosts=$name'][0]")
	is "on $name" "$(tail -qn 1 "$MUSTER_RUNS/$run"/ranks/output-*.txt | awk '{print $1}' | sort)" \
		"$(if [ "$name" = '[h0]' ]; then host_address 0; else host_address 1; host_address 2; fi)"
done
ok "nothing is left on the hosts" wait_for 5 hosts_are_clean

# More hosts than nodes: the first ones are taken.
cat >some.yaml <<'J'
name: some
cluster: {executor: ssh, hosts: [h0, h1, h2]}
run: {command: 'i=0; while [ $i -lt 12 ]; do i=$((i + 1)); sleep 0.03; echo "step $i/12"; done'}
sweep: {over: {cluster.nodes: [1, 2]}}
J
muster sweep some.yaml
status_is "a sweep over the number of a list of hosts" 0
is "takes so many of them" "$(json_value "$(echo "$MUSTER_RUNS"/sweeps/some-*)/compare.json" '[r["nodes"] for r in e["rows"]]')" "[1, 2]"
muster choose some --fastest --out fast.yaml
status_is "one is chosen" 0
muster run -q fast.yaml
status_is "and its job file runs" 0
ok "hosts are clean" wait_for 5 hosts_are_clean
hosts_stop

engine_start
ok "an image" engine_image tools:1 /bin/sh /bin/sleep
cat >boxes.yaml <<'J'
name: boxes
cluster: {executor: docker, image: "tools:1"}
run: {command: 'i=0; while [ $i -lt 90 ]; do i=$((i + 1)); sleep 0.05; echo "step $i/90"; done'}
sweep: {over: {cluster.nodes: [1, 2], cluster.cpus: [500m, 1]}, at_once: 2, stop: {iterations: 8}}
J
muster sweep boxes.yaml
status_is "a sweep over containers, two runs at a time" 0
is "each point was run" "$(json_value "$(echo "$MUSTER_RUNS"/sweeps/boxes-*)/compare.json" 'sorted([(r["nodes"], r["cpus"], r["kind"]) for r in e["rows"]])')" \
	'[[1, 0.5, "predicted"], [1, 1, "predicted"], [2, 0.5, "predicted"], [2, 1, "predicted"]]'

# Only one of two executors has a price, and the other one has no interval.
cat >priced.yaml <<'J'
name: priced
run: {command: sleep 0.1}
sweep: {include: [{cluster.executor: docker, cluster.image: "tools:1"}, {cluster.nodes: 1}]}
J
echo 'prices: [{executor: local, per_hour: 36, minimum: 60s}]' >prices.yaml
muster sweep priced.yaml --prices prices.yaml
status_is "a sweep over executors of which one has a price" 0
like "what the other one costs is left out" "$out" "has no price for docker: its cost is omitted"
is "the cost has no interval where the time has none" "$(json_value "$(echo "$MUSTER_RUNS"/sweeps/priced-*)/compare.json" '[r["cost"] for r in e["rows"]]')" \
	'[null, [0.6, null, null]]'
muster choose priced --cheapest --out cheap.yaml
like "it is not taken for the cheapest" "$out" '^cluster.nodes=1'
ok "and nothing is left in the engine" wait_for 10 engine_is_empty
engine_stop
done_testing
