# Package managers with repositories of the test's own: apt-get with dpkg, dnf with rpm, the real ones. Source it after lib.sh. apt_world DIR and
# dnf_world DIR make a repository of two packages below DIR: muster-test-tool, which needs muster-test-library. The commands in $APT_MOUNTS and
# $DNF_MOUNTS, run in a mount name space, make it the only one that is known there, and nothing of it stays on the machine. What a package has lies
# in /opt/muster-test. A Debian package is not done while there is a file "wait" there.
# shellcheck shell=bash

apt_package() # DIR NAME DEPENDS
{
	local dir=$1/deb/$2 repo=$1/repo
	mkdir -p "$dir/DEBIAN" "$dir/opt/muster-test"
	printf 'Package: %s\nVersion: 1.0\nArchitecture: all\nMaintainer: nobody <nobody@example.org>\nDescription: a test\n%s' "$2" "$3" >"$dir/DEBIAN/control"
	echo "$2" >"$dir/opt/muster-test/$2"
	cat >"$dir/DEBIAN/postinst" <<-S
		#!/bin/sh
		echo "$2 asks \$DEBIAN_FRONTEND, \$WORD"
		while [ -e /opt/muster-test/wait ]; do
			touch /opt/muster-test/waits
			sleep 0.1
		done
	S
	chmod 755 "$dir/DEBIAN/postinst"
	dpkg-deb -b "$dir" "$repo/$2.deb" >/dev/null
	{
		dpkg-deb -f "$repo/$2.deb"
		printf 'Filename: ./%s.deb\nSize: %s\nSHA256: %s\n\n' "$2" "$(stat -c %s "$repo/$2.deb")" "$(sha256sum "$repo/$2.deb" | cut -d ' ' -f 1)"
	} >>"$repo/Packages"
}

mounts_of() # DIR PAIR...: each is FROM:TO, FROM below DIR
{
	local pair dir=$1
	shift
	for pair in "$@"; do echo "mount --bind $dir/${pair%%:*} ${pair#*:} || exit 99"; done
}

apt_world() # DIR
{
	mkdir -p "$1"/{repo,apt/apt.conf.d,apt/preferences.d,dpkg/info,dpkg/updates,dpkg/triggers,lists/partial,cache/archives/partial,log/apt,opt}
	apt_package "$1" muster-test-library ''
	apt_package "$1" muster-test-tool $'Depends: muster-test-library\n'
	echo "deb [trusted=yes] file:$1/repo ./" >"$1/apt/sources.list"
	cp -a /etc/apt/trusted.gpg.d "$1/apt/"
	: >"$1/dpkg/status"
	: >"$1/dpkg/available"
	# shellcheck disable=SC2034 # used by the test
	APT_MOUNTS=$(mounts_of "$1" apt:/etc/apt dpkg:/var/lib/dpkg lists:/var/lib/apt/lists cache:/var/cache/apt log:/var/log opt:/opt)
}

dnf_package() # DIR NAME REQUIRES
{
	{
		printf 'Name: %s\nVersion: 1.0\nRelease: 1\nSummary: a test\nLicense: none\nBuildArch: noarch\n%s' "$2" "$3"
		printf '%%description\na test\n%%install\nmkdir -p %%{buildroot}/opt/muster-test\necho %s >%%{buildroot}/opt/muster-test/%s\n' "$2" "$2"
		printf '%%post -p <lua>\nprint("%s asks " .. os.getenv("WORD"))\n%%files\n/opt/muster-test/%s\n' "$2" "$2" # a script for a shell would need a package of one
	} >"$1/$2.spec"
	rpmbuild -bb --define "_topdir $1/build" --define "_rpmdir $1/repo" --define "_dbpath $1/none" "$1/$2.spec" >"$1/$2.log" 2>&1 || sed 's/^/# /' "$1/$2.log"
}

dnf_world() # DIR
{
	mkdir -p "$1"/{repo,dnf/repos,rpm,state,cache,log,opt}
	dnf_package "$1" muster-test-library ''
	dnf_package "$1" muster-test-tool $'Requires: muster-test-library\n'
	createrepo_c -q "$1/repo"
	printf '[main]\nreposdir=/etc/dnf/repos\ngpgcheck=0\n' >"$1/dnf/dnf.conf"
	printf '[test]\nname=test\nbaseurl=file://%s/repo\n' "$1" >"$1/dnf/repos/test.repo"
	sed "s|^%_dbpath.*|%_dbpath $1/rpm|" /usr/lib/rpm/macros >"$1/macros" # Debian's rpm has its database in the user's home
	DNF_MOUNTS=$(mounts_of "$1" dnf:/etc/dnf macros:/usr/lib/rpm/macros state:/var/lib/dnf cache:/var/cache/dnf log:/var/log opt:/opt)
	DNF_MOUNTS+=$'\nmount --bind /dev/null /usr/bin/apt-get || exit 99' # this machine has both
}
