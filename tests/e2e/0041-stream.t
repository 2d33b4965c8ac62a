#!/bin/bash
# Output in bulk: a gigabyte at once, lines of 10 MB, binary bytes. Every byte arrives in order; agent and controller stay small.
. "$(dirname "$0")/lib.sh" || exit 1

# The agent of a node must not keep what passes; the numbers are KiB.
AGENT_LIMIT=8192
CONTROLLER_LIMIT=65536

# Starts a job of two ranks that, having said everything, touch a file and wait for another: then all processes still live, and what they
# ever needed can be read.
measure() # JOB
{
	local pid node
	rm -f "$SCRATCH"/said-* "$SCRATCH/go"
	start run "$1"
	wait_for 100 test -e "$SCRATCH/said-0" -a -e "$SCRATCH/said-1"
	controller_size=$(peak_memory "$(controller_pid)")
	agent_size=$(for node in 0 1; do peak_memory "$(agent_pid $node)"; done | sort -g | tail -n 1)
	touch "$SCRATCH/go"
	start_finished 60
}

# Something that can be made again anywhere, and in which every place is different.
cat >source.c <<'C'
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>
int main(int argc, char **argv)
{
	static uint64_t block[32768];
	uint64_t x = strtoull(argv[1], 0, 10) * 2654435761u + 1, left = strtoull(argv[2], 0, 10);
	while (left) {
		for (size_t i = 0; i < 32768; i++) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			block[i] = x;
		}
		size_t n = left < sizeof block ? left : sizeof block, done = 0;
		while (done < n) {
			ssize_t w = write(1, (char *)block + done, n - done);
			if (w <= 0)
				return 1;
			done += w;
		}
		left -= n;
	}
	return 0;
}
C
ok "the source is built" gcc -O2 -o source source.c

wait="touch $SCRATCH/said-{rank}; while [ ! -e $SCRATCH/go ]; do sleep 0.05; done"
cat >giga.yaml <<J
name: giga
cluster: {nodes: 2}
inputs: [source]
run: {command: "{data}/source {rank} 536870912; $wait", timeout: 100s}
J
measure giga.yaml
status_is "1 GB out of two ranks" 0
for rank in 0 1; do
	is "rank $rank: 512 MiB arrived" "$(stat -c %s "$(run_dir)/ranks/output-$rank.txt")" 536870912
	ok "rank $rank: byte for byte" cmp <(./source $rank 536870912) "$(run_dir)/ranks/output-$rank.txt"
done
at_most "the largest agent, KiB" "$agent_size" $AGENT_LIMIT
at_most "the controller, KiB" "$controller_size" $CONTROLLER_LIMIT
rm -rf "$MUSTER_RUNS"

cat >lines.yaml <<J
name: lines
cluster: {nodes: 2}
run: {command: "for i in 1 2 3 4 5; do head -c 10000000 /dev/zero | tr '\\\\0' \$i; echo; done; $wait"}
metrics: [{name: never, pattern: '(1+)$'}]
J
measure lines.yaml
status_is "lines of 10 MB" 0
for rank in 0 1; do
	is "rank $rank: five lines of 10 MB" "$(awk '{ printf "%d%s ", length($0), substr($0, 1, 1) }' "$(run_dir)/ranks/output-$rank.txt")" \
		"100000001 100000002 100000003 100000004 100000005 "
done
at_most "the largest agent, KiB" "$agent_size" $AGENT_LIMIT
at_most "the controller, KiB" "$controller_size" $CONTROLLER_LIMIT

/usr/bin/python3 -c '
import sys
sys.stdout.buffer.write(bytes(range(256)) * 3 + b"\r\n\x1b[31m\xff\xfe no newline at the end")' >binary.bin
cat >binary.yaml <<'J'
inputs: [binary.bin]
run: {command: "cat {data}/binary.bin"}
J
muster run binary.yaml
status_is "binary bytes" 0
ok "binary bytes: as they were" cmp binary.bin "$(run_dir)/ranks/output-0.txt"
done_testing
