# Two guests of the image in GUESTS, gone in the end: machines of their own, with a kernel of their own, under emulation, so this machine may lack
# whatever they have. Source it after ../e2e/lib.sh. `ssh guest0` and `ssh guest1` then reach them as root, `ssh twin` is another name for guest1,
# and `ssh admin@guest1` is a user who may use sudo. They have a wire to each other (10.9.0.1 and 10.9.0.2) and none to the outside.
# shellcheck shell=bash

GUEST_PIDS=()
GUEST_OPTIONS=(-machine q35 -accel "tcg,thread=multi" -smp 1 -m 768 -display none -monitor none -no-reboot
	-kernel "$GUESTS/vmlinuz" -initrd "$GUESTS/initrd" -drive "file=$GUESTS/disk,format=raw,if=virtio,snapshot=on")

guests_start()
{
	local host
	GUEST_NET=127.78.$(($$ % 250 + 1))
	CLEANUP="${CLEANUP:+$CLEANUP; }guests_stop"
	mkdir -p "$SCRATCH/bin"
	printf '#!/bin/sh\nexec /usr/bin/ssh -F "%s/ssh_config" "$@"\n' "$SCRATCH" >"$SCRATCH/bin/ssh"
	chmod +x "$SCRATCH/bin/ssh"
	export PATH="$SCRATCH/bin:$PATH"
	install -m 600 "$GUESTS/key" "$SCRATCH/key"
	echo "guest $(cut -d' ' -f1,2 "$GUESTS/host.pub")" >"$SCRATCH/known"
	cat >"$SCRATCH/ssh_config" <<-C
		Host guest0
		    HostName $GUEST_NET.1
		Host guest1 twin
		    HostName $GUEST_NET.2
		Host *
		    User root
		    Port 2222
		    IdentityFile $SCRATCH/key
		    IdentitiesOnly yes
		    UserKnownHostsFile $SCRATCH/known
		    GlobalKnownHostsFile /dev/null
		    HostKeyAlias guest
		    StrictHostKeyChecking yes
		    KexAlgorithms curve25519-sha256
		    GSSAPIAuthentication no
		    BatchMode yes
		    ConnectTimeout 20
	C
	guest_boot 0 server=on
	guest_boot 1 server=off
	for host in guest0 guest1; do
		wait_for 240 ssh "$host" true || { tail -n 20 "$SCRATCH"/guest?.log | sed 's/^/# /'; echo "Bail out! $host does not start"; exit 1; }
	done
}

# The wire is a socket: the first guest has it made when it says so, the second one dials it. What goes to the forwarded port goes to the guest's
# address at that wire, so it is there, too, that the guest knows itself to be reached.
guest_boot() # K END
{
	local options=("${GUEST_OPTIONS[@]}" -append "root=/dev/vda ro init=/sbin/guest guest=$1 console=ttyS0 quiet panic=-1"
		-serial "file:$SCRATCH/guest$1.log"
		-netdev "user,id=up,restrict=on,hostfwd=tcp:$GUEST_NET.$(($1 + 1)):2222-10.9.0.$(($1 + 1)):22" -device "virtio-net-pci,netdev=up,mac=52:54:00:00:0$1:01"
		-netdev "stream,id=wire,$2,addr.type=unix,addr.path=$SCRATCH/wire" -device "virtio-net-pci,netdev=wire,mac=52:54:00:00:0$1:02")
	# Without the test's name in its environment: the guests are not what a run may leave behind. They end with this shell, even if that is killed.
	env -u MUSTER_E2E setsid setpriv --pdeathsig KILL qemu-system-x86_64 "${options[@]}" >"$SCRATCH/guest$1.log" 2>&1 &
	GUEST_PIDS+=($!)
	disown
	wait_for 20 test -S "$SCRATCH/wire" || { sed 's/^/# /' "$SCRATCH/guest$1.log"; echo "Bail out! guest $1 does not start"; exit 1; }
}

guests_stop()
{
	local pid
	for pid in "${GUEST_PIDS[@]}"; do
		kill -9 "$pid" 2>/dev/null
		wait_for 10 gone "$pid"
	done
}
