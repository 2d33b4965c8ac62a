#!/bin/bash
# Static checks of the tree. What doc/design.md says of the sources: includes point down, one door per library, headers that introduce
# themselves, files that export only their own names. Also formatting and shellcheck. Reads text only; nothing is built.
set -u
cd "${1:-$(dirname "$0")/..}" || exit 1

count=0
check() # NAME PROBLEMS: one test; it fails when problems is not empty
{
	count=$((count + 1))
	if [ -z "$2" ]; then
		echo "ok $count - $1"
	else
		echo "not ok $count - $1"
		printf '%s\n' "$2" | sed 's/^/# /'
	fi
}

findings() # COMMAND...: runs it on the files of standard input, prints its findings; a missing or failing command is a finding
{
	local text
	text=$(xargs -n 8 -P 2 "$@" 2>&1) && return
	grep -E '^[^ :]+:[0-9]+:' <<<"$text" || printf '%s\n' "$text" "$1 failed"
}

all_files() # tracked by git; outside of a checkout, all but .git and build directories
{
	if git ls-files --error-unmatch tests/layers.t >/dev/null 2>&1; then
		git ls-files
	else
		find . -type d \( -name .git -o -exec test -d {}/meson-private \; \) -prune -o -type f -printf '%P\n'
	fi
}

shell_scripts() # of the files on standard input: those with a shell in the first line, and those that others source
{
	local file first
	while read -r file; do
		case $file in tests/fuzz/corpus/*) continue ;; esac
		first=
		[ ! -f "$file" ] || read -r first <"$file"
		if [[ $file =~ \.(sh|bash)$ || $first =~ ^#!.*[/\ ](ba|da)?sh(\ |$) ]]; then echo "$file"; fi
	done
}

sources=$(find src -name '*.[ch]' | sort)
headers=$(find src trainers -name '*.h' | sort)
c_files=$(all_files | grep '\.[ch]$')
scripts=$(all_files | shell_scripts)
for list in "$sources" "$c_files" "$scripts"; do
	[ -n "$list" ] || { echo "Bail out! no sources"; exit 1; }
done

# The order is the design's own list of folders.
order=$(awk '/^\*\*src\/\*\*/ { on = 1 } /^\*\*trainers\/\*\*/ { on = 0 } on && /^    [a-z]+(\.c|\/)/ { sub(/(\.c|\/)$/, "", $1); print $1 }' doc/design.md | tr '\n' ' ')
check "the design lists every folder of src" "$(
	for dir in src/*/; do
		name=$(basename "$dir")
		case " $order " in *" $name "*) ;; *) echo "src/$name is not in section 5 of doc/design.md" ;; esac
	done
)"

# shellcheck disable=SC2086 # split on purpose: no file name has a blank
check "includes point down" "$(awk -v order="$order" '
	BEGIN { n = split(order, name, " "); for (i = 1; i <= n; i++) level[name[i]] = i }
	FNR == 1 { split(FILENAME, part, "/"); own = part[2]; if (own == "main.c" || own == "muster_agent.c") own = "main" }
	/^[ \t]*#[ \t]*include[ \t]*"/ {
		split($0, quoted, "\""); path = quoted[2]
		if (FILENAME ~ /_test\.c$/ && path ~ /^fakes\//) next
		split(path, part, "/"); other = part[1]
		if (path !~ /^[a-z]+\/[a-z0-9_]+\.h$/) print FILENAME ":" FNR ": \"" path "\" is not FOLDER/NAME.h"
		else if (!(other in level)) print FILENAME ":" FNR ": " other " is no folder of the design"
		else if (level[other] < level[own]) print FILENAME ":" FNR ": " own " includes " path ", which is above it"
	}' $sources)"

# A module is a .c and its .h; what a unit test includes does not count.
# shellcheck disable=SC2046,SC2086 # split on purpose: no file name has a blank
check "no modules include each other in a circle" "$(awk '
	FNR == 1 { own = FILENAME; sub(/^src\//, "", own); sub(/\.[ch]$/, "", own) }
	/^[ \t]*#[ \t]*include[ \t]*"/ {
		split($0, quoted, "\""); other = quoted[2]; sub(/\.h$/, "", other)
		if (other != own && !((own, other) in edge)) { edge[own, other] = FILENAME ":" FNR; to[own, ++degree[own]] = other }
	}
	function visit(from, at,    i) { # marks what is reached from a module
		for (i = 1; i <= degree[at]; i++)
			if (!((from, to[at, i]) in reach)) { reach[from, to[at, i]] = 1; visit(from, to[at, i]) }
	}
	END {
		for (module in degree) visit(module, module)
		for (pair in edge) {
			split(pair, end, SUBSEP)
			if (!((end[2], end[1]) in reach)) continue
			first = end[1] # the same for all modules of one circle
			for (module in degree) if (((end[1], module) in reach) && ((module, end[1]) in reach) && module < first) first = module
			print "circle of " first ": " edge[pair] ": " end[1] " includes " end[2]
		}
	}' $(printf '%s\n' $sources | grep -v '_test\.c$') | sort)"

# shellcheck disable=SC2086 # split on purpose: no file name has a blank
check "trainers do not know src, src does not know trainers" "$(
	grep -nE '#[ \t]*include[ \t]*"(cmd|tui|controller|agent|helper|exec|compare|report|predict|run|node|docker|kube|wire|job|base)/' -r trainers --include='*.[ch]'
	grep -nE '#[ \t]*include[ \t]*"(common|dcgan|mnist)/' $sources /dev/null
)"

# Header, then the files that may include it; a unit test may include what the file beside it may.
doors='
libwebsockets\.h  wire/conn.c base/loop.c
yaml\.h           job/yaml.c
archive.*\.h      base/archives.c
openssl/.*        base/crypto.c loader/unpack.c
pcre2.*\.h        base/regex.c
wslay/.*         kube/websocket.c
zlib\.h           loader/unpack.c
sqlite3\.h        -
curl/.*           -
uv\.h             -
'
while read -r header allowed; do
	[ -n "$header" ] || continue
	# shellcheck disable=SC2086 # split on purpose: no file name has a blank
	check "one door to <${header//\\/}>" "$(
		grep -nE "#[ \t]*include[ \t]*[<\"]${header}[>\"]" $sources /dev/null | while IFS=: read -r file line text; do
			inside=${file#src/}
			case " $allowed " in
			*" ${inside/_test.c/.c} "*) ;;
			*) echo "$file:$line: $text, allowed only in $allowed" ;;
			esac
		done
	)"
done <<<"$doors"

# shellcheck disable=SC2086 # split on purpose: no file name has a blank
check "every header says in two lines what it is and what it is not" "$(
	awk 'FNR <= 2 && !/^\/\/ .../ { print FILENAME ":" FNR ": not a comment" }' $headers
)"

# A function is exported when its definition starts at the margin without static. Headers of cmd and of executors are the tables' own. What is
# preloaded stands in for functions of others.
exported=$(find src -name '*.c' ! -name '*_test.c' ! -path src/main.c ! -path src/muster_agent.c ! -path src/loader/loader.c ! -path 'src/preload/*' -exec awk '
	/^[a-z_].*\(/ && !/^(static|typedef|extern|enum|union|__attribute__)/ && !/;[ \t]*$/ && !/^struct [a-z_]+ \{/ && !/=/ {
		name = $0; sub(/\(.*/, "", name); sub(/.*[ *]/, "", name); if (name != "") print FILENAME, name
	}' {} +)
check "a file exports only names that start with its own" "$(
	while read -r file name; do
		[ -n "$file" ] || continue
		stem=$(basename "$file" .c) folder=$(basename "$(dirname "$file")")
		case $folder:$name in
		*:"$stem"_* | *:"$stem" | cmd:cmd_"$stem" | cmd:cmd_"$stem"_* | exec:executor_"$stem") ;;
		*) echo "$file exports $name" ;;
		esac
	done <<<"$exported"
)"
check "every file that exports something has its header" "$(
	while read -r file name; do
		[ -n "$file" ] || continue
		case $file:$name in
		src/cmd/*:cmd_* | src/exec/*:executor_*) continue ;;
		esac
		[ -f "${file%.c}.h" ] || echo "$file exports $name and has no ${file%.c}.h"
	done <<<"$exported"
)"

# Tests may write plans down as JSON. A call that is broken over two lines counts too.
check "only job/ knows the members of a plan by name, others read them with job/plan.h" "$(
	find src -name '*.[ch]' ! -name '*_test.c' ! -path 'src/job/*' | sort | while read -r file; do
		tr -s '\n\t ' ' ' <"$file" | grep -oE 'json_[a-z_]+\((\(json_t \*\) ?)?([a-z_.]|->)*(plan|slice), ?"[^"]*"' | sed "s|^|$file: |"
	done
)"

# The marks are spelled so that this file does not find itself.
check "nothing is left to do" "$(
	grep -nE 'TO''DO|FIX''ME' -r src trainers tests doc examples bench completion Makefile README.md CONTRIBUTING.md NEWS.md \
		--include='*.[ch]' --include='*.md' --include='*.t' --include='*.sh' --include='*.py' --include='*.yaml' --include='*.scd' \
		--include=meson.build --include=Makefile 2>/dev/null
)"

check "volatile is for signal handlers: threads share atomic variables" "$(
	grep -v '_test\.c$' <<<"$c_files" | xargs grep -nE '\bvolatile\b' | grep -v 'volatile sig_atomic_t'
)"

check "the sources are as clang-format makes them" "$(findings clang-format --dry-run -Werror <<<"$c_files")"
check "no line of the sources is longer than 120 columns" "$(
	xargs awk '{ line = $0; gsub(/\t/, "        ", line) } length(line) > 120 { print FILENAME ":" FNR }' <<<"$c_files"
)"
check "no line of a document is longer than 100 columns" "$(
	all_files | grep -E '\.(md|scd)$' | LC_ALL=C.UTF-8 xargs grep -HnE '^.{101}' | cut -d: -f1,2
)"
check "shell scripts pass shellcheck" "$(findings shellcheck --external-sources --format=gcc <<<"$scripts")"


# One way to write the same thing.
check "texts are compared with == 0 and != 0, never with !" "$(
	xargs grep -nE '![a-z]*(strcmp|strncmp|memcmp|strcasecmp|strncasecmp)\(' /dev/null <<<"$c_files"
)"
check "whole numbers are enumerators, not macros" "$(
	grep '^src/.*\.c$' <<<"$c_files" | xargs grep -nE '^#define [A-Z_]+ +[0-9]+u?( |$)' /dev/null
)"
check "every header has the include guard FOLDER_NAME_H" "$(
	grep '\.h$' <<<"$c_files" | while read -r file; do
		folder=${file%/*}
		guard=$(tr 'a-z-' 'A-Z_' <<<"${folder##*/}_$(basename "$file" .h)_H")
		grep -qx "#ifndef $guard" "$file" || echo "$file: no guard $guard"
	done
)"

rights_of() # ROLE...: "pods/exec: get create" of each, as the table of kube/access_review.c has it
{
	awk '/^    resources:/ { gsub(/.*\[|\].*/, ""); of = $0 } /^    verbs:/ { gsub(/.*\[|\].*|,/, ""); print of ": " $0 }' "$@" | sort
}
check "roles give the rights that kube/access_review.c asks for, and no others" "$(
	for role in examples/kubernetes/role.yaml packaging/helm/*/templates/rights.yaml; do
		[ -e "$role" ] && diff <(rights_of "$role") \
			<(sed -nE 's/^\t\{"[a-z]*", "([a-z/]+)", "([a-z ]+)"\},$/\1: \2/p' src/kube/access_review.c | sort)
	done
)"

echo "1..$count"
