# A farm of hosts that ssh reaches, all of them this machine, gone in the end. Source it after lib.sh (or where SCRATCH, CLEANUP and wait_for
# are). hosts_start N makes h0 ... hN-1 on loopback addresses; hosts_start N apart gives each a network name space of its own with a wire to a
# switch, which host_cut and host_mend cut and mend. `ssh` in PATH then knows them by these names: a wrapper that takes a configuration
# of the farm's own. Each host has a home for what lies on it: $FARM/hK (cache/, nodes/).
#
# FARM_ENV (NAME=VALUE...) is in the environment of what ssh runs there.
#
# sshd has a mount name space in which root's .bashrc is empty, or that would be most of the time; and in which /sys shows the network devices of its
# own network name space.
# shellcheck shell=bash

FARM=
FARM_COUNT=0
FARM_APART=

hosts_start() # N [apart]
{
	local k
	FARM=$(mktemp -d /tmp/muster-farm.XXXXXX)
	FARM_COUNT=$1
	FARM_APART=${2:-}
	FARM_NET=$(($$ % 250 + 1))
	CLEANUP="${CLEANUP:+$CLEANUP; }hosts_stop"
	mkdir -p /run/sshd "$FARM/bin"
	chmod 755 "$FARM"
	ssh-keygen -q -t ed25519 -N '' -f "$FARM/key"
	printf '#!/bin/sh\nexec /usr/bin/ssh -F "%s/config" "$@"\n' "$FARM" >"$FARM/bin/ssh"
	chmod +x "$FARM/bin/ssh"
	cat >"$FARM/config" <<-E
		Host *
		    IdentityFile $FARM/key
		    IdentitiesOnly yes
		    UserKnownHostsFile $FARM/known
		    GlobalKnownHostsFile /dev/null
		    StrictHostKeyChecking yes
		    GSSAPIAuthentication no
		    SendEnv STANDIN_*
	E
	[ -z "$FARM_APART" ] || switch_start
	for ((k = 0; k < $1; k++)); do
		[ -z "$FARM_APART" ] || host_wire "$k"
		host_files "$k"
		host_up "$k"
	done
	export PATH="$FARM/bin:$PATH"
	for ((k = 0; k < $1; k++)); do
		wait_for 10 ssh "h$k" true || { sed 's/^/# /' "$FARM/h$k/log"; echo "Bail out! sshd of h$k does not start"; exit 1; }
	done
}

host_address() # K
{
	if [ -n "$FARM_APART" ]; then echo "10.99.$FARM_NET.$(($1 + 2))"; else echo "127.77.$FARM_NET.$(($1 + 1))"; fi
}

host_space() # K: the name of its network name space
{
	echo "farm$$-$1"
}

# A switch, in a name space of its own: what a machine has to say of bridges and forwarding does not count there. This machine is one of those
# at it.
switch_start()
{
	FARM_SWITCH=farm$$-switch
	ip netns add "$FARM_SWITCH"
	ip -n "$FARM_SWITCH" link add switch type bridge
	ip -n "$FARM_SWITCH" link set switch up
	ip link add "farm$FARM_NET" type veth peer name here netns "$FARM_SWITCH"
	ip -n "$FARM_SWITCH" link set here master switch up
	ip address add "10.99.$FARM_NET.1/24" dev "farm$FARM_NET"
	ip link set "farm$FARM_NET" up
}

host_wire() # K: to the switch
{
	local ns
	ns=$(host_space "$1")
	ip netns add "$ns"
	ip link add "h$1" netns "$FARM_SWITCH" type veth peer name eth0 netns "$ns"
	ip -n "$FARM_SWITCH" link set "h$1" master switch up
	ip -n "$ns" address add "$(host_address "$1")/24" dev eth0
	ip -n "$ns" link set lo up
	ip -n "$ns" link set eth0 up
}

host_files() # K
{
	local dir=$FARM/h$1
	mkdir -p "$dir"
	ssh-keygen -q -t ed25519 -N '' -f "$dir/key"
	cat >"$dir/sshd" <<-E
		ListenAddress $(host_address "$1")
		Port 2222
		HostKey $dir/key
		PidFile $dir/pid
		AuthorizedKeysFile $FARM/key.pub
		StrictModes no
		UsePAM no
		PasswordAuthentication no
		KbdInteractiveAuthentication no
		MaxStartups 100
		AcceptEnv STANDIN_*
		SetEnv MUSTER_NODES_DIR=$dir/nodes XDG_CACHE_HOME=$dir/cache MUSTER_E2E=$SCRATCH ${FARM_ENV:-}
	E
	echo "[$(host_address "$1")]:2222 $(cut -d' ' -f1,2 "$dir/key.pub")" >>"$FARM/known"
	printf 'Host h%s\n    HostName %s\n    Port 2222\n' "$1" "$(host_address "$1")" >>"$FARM/config"
}

host_up() # K: starts its sshd
{
	local enter=()
	[ -z "$FARM_APART" ] || enter=(nsenter "--net=/run/netns/$(host_space "$1")")
	# Without the test's name in its environment: the farm is not what a run may leave behind. sshd ends with this shell, even if that is killed.
	env -u MUSTER_E2E "${enter[@]}" setsid setpriv --pdeathsig KILL unshare --mount --propagation private \
		sh -c 'if [ -e ~/.bashrc ]; then mount --bind /dev/null ~/.bashrc; fi; [ -z "$2" ] || mount -t sysfs sysfs /sys; cd "$1"
			if [ -e prepare ]; then . ./prepare; fi; exec /usr/sbin/sshd -D -e -f "$1/sshd"' sh "$FARM/h$1" "$FARM_APART" \
		>>"$FARM/h$1/log" 2>&1 &
	disown
}

host_prepare() # K: standard input is what its mount name space is to have besides, a script in $FARM/hK; its sshd is started anew
{
	cat >"$FARM/h$1/prepare"
	host_down "$1"
	host_up "$1"
	wait_for 10 ssh "h$1" true
}

host_sessions() # K: the pids of its sshd's connections
{
	[ ! -s "$FARM/h$1/pid" ] || pgrep -P "$(cat "$FARM/h$1/pid")"
}

host_down() # K: kills its sshd, with every connection
{
	local pid sessions
	pid=$(cat "$FARM/h$1/pid" 2>/dev/null)
	[ -n "$pid" ] || return 0
	mapfile -t sessions < <(host_sessions "$1")
	kill -9 "$pid" "${sessions[@]}" 2>/dev/null
	rm -f "$FARM/h$1/pid"
}

host_drop() # K: kills its connections; new ones are welcome
{
	local sessions
	mapfile -t sessions < <(host_sessions "$1")
	kill -9 "${sessions[@]}" 2>/dev/null
}

host_cut() # K: the wire
{
	ip -n "$FARM_SWITCH" link set "h$1" down
}

host_mend() # K
{
	ip -n "$FARM_SWITCH" link set "h$1" up
}

# A second network, of the hosts alone. The first one may then be one that leads from each host to this machine and to no other host.
hosts_second() # hosts_start apart comes first
{
	local k
	ip -n "$FARM_SWITCH" link add second type bridge
	ip -n "$FARM_SWITCH" link set second up
	for ((k = 0; k < FARM_COUNT; k++)); do host_second "$k"; done
}

host_second_address() # K
{
	echo "10.98.$FARM_NET.$(($1 + 2))"
}

host_second() # K: a wire to the second switch
{
	local ns
	ns=$(host_space "$1")
	ip link add "s$1" netns "$FARM_SWITCH" type veth peer name eth1 netns "$ns"
	ip -n "$FARM_SWITCH" link set "s$1" master second up
	ip -n "$ns" address add "$(host_second_address "$1")/24" dev eth1
	ip -n "$ns" link set eth1 up
}

host_isolate() # K on|off: on the first network it sees those that are not isolated, no more
{
	ip -n "$FARM_SWITCH" link set "h$1" type bridge_slave isolated "$2"
}

host_fill() # K: its disk for nodes is full from now on, until its sshd is started anew
{
	mkdir -p "$FARM/h$1/nodes"
	nsenter -t "$(cat "$FARM/h$1/pid")" -m sh -c 'mount -t tmpfs -o size=64k,mode=700 tmpfs "$1"; cat /dev/zero >"$1/full"' sh "$FARM/h$1/nodes" 2>/dev/null
	return 0
}

hosts_stop()
{
	local k
	[ -n "$FARM" ] || return 0
	for ((k = 0; k < FARM_COUNT; k++)); do
		host_down "$k"
		[ -z "$FARM_APART" ] || ip netns delete "$(host_space "$k")" 2>/dev/null
	done
	[ -z "$FARM_APART" ] || ip netns delete "$FARM_SWITCH"
	rm -rf "$FARM"
	FARM=
}

# What is left on the hosts but the agent that is kept: nothing.
hosts_are_clean()
{
	local k
	for ((k = 0; k < FARM_COUNT; k++)); do
		[ -z "$(find "$FARM/h$k/nodes" -mindepth 1 2>/dev/null | head -n 1)" ] || return 1
		[ -z "$(find "$FARM/h$k/cache" -name 'new-*' 2>/dev/null)" ] || return 1
	done
	[ -z "$(ls -A "$XDG_STATE_HOME/muster/ssh" 2>/dev/null)" ]
}
