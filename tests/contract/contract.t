#!/bin/bash
# The contract suite for one executor, with what that needs to be tested against: three hosts for ssh, an engine for docker.
# shellcheck source-path=SCRIPTDIR/../e2e
program=$(realpath "$1")
executor=$2
e2e=$(cd "$(dirname "$0")/../e2e" && pwd)
. "$e2e/lib.sh"
. "$e2e/hosts.sh"
. "$e2e/engine.sh"
export XDG_STATE_HOME=$SCRATCH/state
case $executor in
ssh)
	hosts_start 3
	;;
docker)
	engine_start
	engine_image standin:1 /bin/{sh,sleep,head,tail,mv,cat} || { echo "Bail out! no image"; exit 1; }
	;;
esac
"$program" "$executor"
exit
