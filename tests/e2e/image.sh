# Images for engines and clusters without a registry: made of the programs of this machine. Source it.
# shellcheck shell=bash

image_root() # DIR PROGRAM[=PATH]...: a tree of this machine's programs and the libraries they need; PATH is where it is to lie
{
	local item file files=() root=$1
	shift
	rm -rf "$root" && mkdir -p "$root/tmp" || return 1
	for item in "$@"; do
		files+=("${item%%=*}")
		mkdir -p "$root$(dirname "${item#*=}")" && cp -L "${item%%=*}" "$root${item#*=}" || return 1
	done
	# Not all of them have libraries: scripts and texts neither.
	while read -r file; do
		mkdir -p "$root$(dirname "$file")" && cp -Ln "$file" "$root$file" || return 1
	done < <(ldd "${files[@]}" 2>/dev/null | sed -nE 's/^\t(.* => )?(\/[^ ]+) \(.*/\2/p' | sort -u)
}
