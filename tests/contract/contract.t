#!/bin/bash
# The contract suite, with what the executors need to be tested against: three hosts for ssh.
program=$(realpath "$1")
shift
e2e=$(cd "$(dirname "$0")/../e2e" && pwd)
. "$e2e/lib.sh"
. "$e2e/hosts.sh"
export XDG_STATE_HOME=$SCRATCH/state
hosts_start 3
"$program" "$@"
status=$?
exit $status
