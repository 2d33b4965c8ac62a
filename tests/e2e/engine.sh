# A Docker engine of the test's own: data, runtime directory, socket and network name space, all gone in the end. Source it after lib.sh (or
# where SCRATCH, CLEANUP and wait_for are), call engine_start; DOCKER_HOST then names it. engine_restart SIGNAL ends dockerd and starts it
# anew with what it had; engine_stop is called at the end of the test.
#
# Why the name spaces: dockerd changes iptables and net.bridge and leaves that behind, and keeps mounts below its runtime directory. Here
# all of it goes with the last process; killing the first process of a pid name space kills every container in it too.
# shellcheck shell=bash

# shellcheck source=SCRIPTDIR/image.sh
. "$(dirname "${BASH_SOURCE[0]}")/image.sh"
ENGINE_DIR=
ENGINE_PID=

engine_start() # [OPTIONS...] of dockerd
{
	ENGINE_DIR=$(mktemp -d /tmp/muster-engine.XXXXXX)
	ENGINE_GROUP=muster-engine-$$
	cat >"$ENGINE_DIR/init" <<-'I'
		dir=$1 group=$2
		shift 2
		ip link set lo up
		mount -t tmpfs tmpfs /run
		while [ ! -e "$dir/stop" ]; do
			rm -f "$dir/dockerd.pid"
			dockerd --data-root "$dir/data" --exec-root "$dir/exec" --pidfile "$dir/dockerd.pid" -H "unix://$dir/docker.sock" \
				--storage-driver overlay2 --cgroup-parent "/$group" --bridge none --shutdown-timeout 3 "$@" >>"$dir/log" 2>&1 &
			echo $! >"$dir/inner"
			wait $!
			[ -e "$dir/stop" ] || while [ -e "$dir/hold" ]; do sleep 0.05; done
		done
	I
	# Without the test's name in its environment: the engine is not what a run may leave behind. It ends with this shell, even if that is killed.
	env -u MUSTER_E2E setsid setpriv --pdeathsig KILL unshare --net --mount --propagation private --pid --fork --kill-child --mount-proc \
		sh "$ENGINE_DIR/init" "$ENGINE_DIR" "$ENGINE_GROUP" "$@" >>"$ENGINE_DIR/log" 2>&1 &
	ENGINE_PID=$!
	CLEANUP="${CLEANUP:+$CLEANUP; }engine_stop"
	export DOCKER_HOST=unix://$ENGINE_DIR/docker.sock
	wait_for 30 engine_answers || { tail -n 20 "$ENGINE_DIR/log" | sed 's/^/# /'; echo "Bail out! dockerd does not start"; exit 1; }
}

engine_get() # PATH
{
	curl -sS --max-time 20 --unix-socket "$ENGINE_DIR/docker.sock" "http://engine$1"
}

engine_answers()
{
	[ "$(engine_get /_ping 2>/dev/null)" = OK ]
}

engine_kill() # SIGNAL: to dockerd itself, which is started again as soon as $ENGINE_DIR/hold is not there
{
	nsenter -t "$(pgrep -P "$ENGINE_PID")" -p -m kill -s "$1" "$(cat "$ENGINE_DIR/inner")"
}

engine_import() # NAME DIR [CHANGES...]: the tree becomes an image
{
	local name=$1 dir=$2 query=
	shift 2
	for change in "$@"; do
		query="$query&changes=$(printf %s "$change" | sed 's/%/%25/g; s/ /%20/g; s/"/%22/g; s/\[/%5B/g; s/\]/%5D/g')"
	done
	tar -C "$dir" -c . | curl -sS --max-time 60 --unix-socket "$ENGINE_DIR/docker.sock" -X POST -H 'Content-Type: application/x-tar' \
		-T - "http://engine/images/create?fromSrc=-&repo=${name%:*}&tag=${name##*:}$query" | grep -q '"status"'
}

engine_containers() # all of them, one id a line
{
	engine_get '/containers/json?all=1' | grep -o '"Id":"[0-9a-f]*"' | cut -d '"' -f 4
}

engine_networks() # those that no engine has by itself
{
	engine_get /networks | /usr/bin/python3 -c 'import json, sys
for n in json.load(sys.stdin):
    if n["Name"] not in ("bridge", "host", "none"): print(n["Name"])'
}

engine_is_empty()
{
	[ -z "$(engine_containers)" ] && [ -z "$(engine_networks)" ]
}

engine_stop()
{
	[ -n "$ENGINE_DIR" ] || return 0
	touch "$ENGINE_DIR/stop"
	# --kill-child: the name space's first process, and with it every process in it, ends with unshare.
	kill -9 "$ENGINE_PID" 2>/dev/null
	wait "$ENGINE_PID" 2>/dev/null
	wait_for 10 engine_groups_go
	rm -rf "$ENGINE_DIR"
	ENGINE_DIR=
	unset DOCKER_HOST
}

engine_groups_go() # SIGKILLed containers leave their control groups
{
	find /sys/fs/cgroup -depth -type d -path "*/$ENGINE_GROUP*" -exec rmdir {} + 2>/dev/null
	[ -z "$(find /sys/fs/cgroup -type d -path "*/$ENGINE_GROUP*" 2>/dev/null)" ]
}

engine_image() # NAME PROGRAM[=PATH]...: see image_root
{
	image_root "$SCRATCH/image-root" "${@:2}" && engine_import "$1" "$SCRATCH/image-root" 'ENV PATH=/usr/bin:/bin'
}
