#!/bin/bash
# muster cp: files and directories to all nodes or one and back, as cp -r would; nothing half done; a slow disk costs no memory.
. "$(dirname "$0")/lib.sh" || exit 1

echo 'cluster: {nodes: 2}' >lab.yaml
"$MUSTER" up -q lab.yaml
controller=$(pid_in "$(echo "$MUSTER_CLUSTERS"/lab/*)/control.json")
on() { "$MUSTER" exec lab --node "$1" -- sh -c "$2"; }
mkdir -p src/sub/empty
seq 1 100000 >src/numbers
echo x >src/sub/x
chmod 755 src/sub/x
ln -s x src/sub/link
: >src/zero

muster cp src/numbers lab:
status_is "a file to all nodes" 0
is "it is there" "$(on 1 'sha256sum <numbers')" "$(sha256sum <src/numbers)"
muster cp src/numbers lab/1:other
status_is "to one node, under another name" 0
is "only there" "$("$MUSTER" exec lab -- sh -c 'ls other 2>/dev/null; true')" "1| other"
muster cp src/zero lab:
is "an empty file" "$(on 0 'stat -c %s zero')" 0
muster cp src lab:
status_is "a directory" 0
is "with all in it" "$(on 1 'cd src && find . | sort | tr "\n" " "')" "$(cd src && find . | sort | tr '\n' ' ')"
is "modes and links" "$(on 1 'stat -c %a src/sub/x; readlink src/sub/link')" $'755\nx'
muster cp src lab:deep/er/
is "into a directory that is made" "$(on 0 'ls deep/er')" src
muster cp src/numbers lab/0:src
is "into one that is there" "$(on 0 'cmp src/numbers numbers && echo same')" same

muster cp lab/1:src back
status_is "back from one" 0
ok "the same" diff -r src back
is "with its modes" "$(stat -c %a back/sub/x)" 755
muster cp lab:numbers all
status_is "back from all" 0
ok "by node" cmp src/numbers all/node-1/numbers
is "both" "$(cd all && echo *)" "node-0 node-1"

muster cp lab:other mixed
status_is "what one node does not have" 3
like "says which" "$err" "node 0: .*'other': No such file"
muster cp nothing lab:
status_is "what is not there" 3
muster cp src/numbers lab:/nonexistent/dir/x
status_is "a place that is not there" 3
like "says where" "$err" "node [01]: .*/nonexistent/dir/x"
muster cp lab/0:numbers /nonexistent/dir/x
status_is "a place that is not here" 3
muster cp src lab:numbers
status_is "a directory onto a file" 3
muster cp a b
status_is "no node" 2
muster cp lab:a lab:b
status_is "two of them" 2
muster cp src/numbers lab/7:
status_is "a node it does not have" 2
is "nothing half done is left" "$(on 0 'find . -name "*.part-*"'; find . -name '*.part-*')" ""

# Large, and the reader is stopped for a while: nobody keeps it in memory.
head -c 100000000 /dev/zero | tr '\0' z >big
muster cp big lab/0:
status_is "100 MB" 0
launch cp lab/0:big got
child() { pgrep -P "$started"; }
wait_for 5 child && kill -STOP "$(child)" 2>/dev/null
sleep_until() { wait_for 2 false; }
sleep_until
at_most "the controller's memory, KiB" "$(peak_memory "$controller")" 40000
at_most "cp's memory, KiB" "$(peak_memory "$started")" 40000
kill -CONT "$(child)" 2>/dev/null
start_finished 60
status_is "it comes whole" 0
ok "byte by byte" cmp big got
"$MUSTER" down -q lab
done_testing
