# What the benchmarks share: where the programs are, medians, the machine. It measures nothing itself.
# Sourced by bench/NAME/run, with $0 that script.
# shellcheck shell=sh

export LC_ALL=C
bench=$(cd "$(dirname "$0")" && pwd)
MUSTER=${MUSTER:-$bench/../../build/src/muster}
MUSTER=$(realpath "$MUSTER")
tools=$(dirname "$(dirname "$MUSTER")")/bench
if ! [ -x "$MUSTER" ] || ! [ -x "$tools/measure" ]; then
	echo "build muster first (make): no $MUSTER or $tools/measure" >&2
	exit 2
fi

# On a disk, unless told otherwise: what a file system in memory takes says little.
scratch=$(mktemp -d "${BENCH_DIR:-${TMPDIR:-/var/tmp}}/muster-bench.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM
load_before=$(cut -d' ' -f1-3 /proc/loadavg)

machine()
{
	printf 'machine: %s cores, %s, Linux %s; load before the start %s; %s; muster %s\n' "$(nproc)" \
		"$(awk -F': ' '/^model name/ { print $2; exit }' /proc/cpuinfo)" "$(uname -r)" "$load_before" "$(date -u +%F)" "$("$MUSTER" version | awk 'NR == 1 { print $NF }')"
}

# measure FILE LIMIT COMMAND...: adds "WALL CPU STATUS" to FILE; what the command printed is in FILE.out.
measure()
{
	_file=$1 _limit=$2
	shift 2
	"$tools/measure" -t "$_limit" "$@" </dev/null >"$_file.out" 2>&1 3>>"$_file" || true
}

# median FILE COLUMN: over the lines whose third column, the status, is 0; "-" without any.
median()
{
	[ -f "$1" ] || { echo -; return; }
	awk -v c="$2" '$3 == "0" { print $c }' "$1" | sort -n |
		awk '{ v[NR] = $1 } END { if (NR == 0) print "-"; else print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}

# failures FILE: how many did not end well, and how: "2 hang".
failures()
{
	[ -f "$1" ] || return 0
	awk '$3 != "0" { n[$3]++ } END { for (s in n) printf "%s%d %s", (k++ ? ", " : ""), n[s], s == "hang" ? "hung" : "status " s }' "$1"
}

ratio() # A B
{
	awk -v a="$1" -v b="$2" 'BEGIN { if (a == "-" || b == "-" || b == 0) print "-"; else printf "%.2f", a / b }'
}

# verdict TEXT VALUE (<=|>=) WANTED
verdict()
{
	awk -v t="$1" -v v="$2" -v o="$3" -v w="$4" 'BEGIN {
		if (v == "-") { printf "  %s: no figure (the peer did not end), wanted %s %s\n", t, o, w; exit }
		ok = (o == "<=" ? v + 0 <= w + 0 : v + 0 >= w + 0)
		printf "  %s: %s, wanted %s %s: %s\n", t, v, o, w, ok ? "met" : "NOT met" }'
}
