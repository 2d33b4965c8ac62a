#!/bin/bash
# The contract suite for one executor, with what that needs to be tested against: three hosts for ssh, an engine for docker, the cluster in
# KUBE_DIR for kubernetes.
# shellcheck source-path=SCRIPTDIR/../e2e
contract=$(realpath "$1")
executor=$2
e2e=$(cd "$(dirname "$0")/../e2e" && pwd)
if [ "$executor" = kubernetes ]; then
	. "$e2e/../kube/lib.sh" # with the other one
else
	. "$e2e/lib.sh"
fi
. "$e2e/hosts.sh"
. "$e2e/engine.sh"
case $executor in
ssh)
	hosts_start 3
	;;
docker)
	engine_start
	engine_image standin:1 /bin/{sh,sleep,head,tail,mv,cat} || { echo "Bail out! no image"; exit 1; }
	;;
kubernetes)
	export CONTRACT_DIR=$KUBE_DIR/shared
	kube_image localhost/standin:1 /bin/{sh,sleep,head,tail,mv,cat} || { echo "Bail out! no image"; exit 1; }
	;;
esac
"$contract" "$executor"
exit
