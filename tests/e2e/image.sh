# Images for engines and clusters without a registry: made of the programs of this machine. Source it.
# shellcheck shell=bash

image_root() # DIR PROGRAM[=PATH]...: a tree of this machine's programs and the libraries they need; PATH is where it is to lie
{
	local item file to root=$1
	shift
	rm -rf "$root" && mkdir -p "$root/tmp" || return 1
	for item in "$@"; do
		to=${item#*=} file=${item%%=*}
		mkdir -p "$root$(dirname "$to")" && cp -L "$file" "$root$to" || return 1
		for file in $(ldd "$file" 2>/dev/null | grep -o '/[^ ]*'); do
			mkdir -p "$root$(dirname "$file")" && cp -Ln "$file" "$root$file"
		done
	done
}
