#!/bin/bash
# --help, the man page and the completion say the same: the commands and the options of each.
. "$(dirname "$0")/lib.sh" || exit 1
root=$(cd "$TESTS/../.." && pwd)
page=$root/doc/muster.1.scd

"$MUSTER" --help | sed -nE 's/^  ([a-z]+)  .*/\1/p' | sort >commands
"$MUSTER" --help >help
ok "there are commands" test -s commands

# The options of a command, long and short, as --help lists them.
options() # COMMAND
{
	"$MUSTER" "$1" --help | grep -oE '^ +(-[a-z], )?--[a-z-]+' | grep -oE -- '-[a-z-]+' | sort
}

# The options that the man page describes below a command.
options_of_page() # COMMAND
{
	awk -v command="*$1*" '
		/^[*#]/ { inside = index($0, command " ") == 1 || $0 == command }
		inside && /^\t\*-/ { print }' "$page" | grep -oE -- '\*-[a-z-]+\*' | tr -d '*' | sort
}

complete_words() # WORDS...: what the completion offers for the last one
{
	(
		# shellcheck source=/dev/null
		. "$root/completion/muster.bash"
		compopt() { :; }
		COMP_WORDS=("$MUSTER" "$@")
		COMP_CWORD=$#
		_muster
		printf '%s\n' "${COMPREPLY[@]}" | sort
	)
}

is "muster.1: every command, once" "$(sed -nE 's/^\*([a-z]+)\*( .*)?$/\1/p' "$page" | grep -vx muster | sort)" "$(cat commands)"
is "completion: every command" "$(complete_words '')" "$(cat commands)"
while read -r command; do
	"$MUSTER" "$command" --help >>help
	is "$command: the usage is the first line" "$("$MUSTER" "$command" --help | head -n 1 | grep -o "^usage: muster $command")" \
		"usage: muster $command"
	options "$command" >has
	is "completion: the options of $command" "$(complete_words "$command" -)" "$(cat has)"
	is "muster.1: the options of $command" "$(options_of_page "$command")" "$(grep -vxE -- '-h|--help|--runs' has)"
done <commands
is "muster.1: the options of all commands" "$(sed -n '/^# COMMON OPTIONS/,/^# JOBS/p' "$page" | grep -oE '^\*-.*')" \
	$'*-h*, *--help*\n*--runs* _DIR_'
is "--help: no line is longer than 80 columns" "$(grep -E '^.{81}' help)" ""
is "muster.1: no line is longer than 100 columns" "$(expand -t 4 "$page" | grep -E '^.{101}')" ""

cat >job.yaml <<'J'
name: words
run: {command: "true"}
J
touch job.txt
muster run -q job.yaml
status_is "a run" 0
words() { complete_words "$@" | tr '\n' ' '; }
is "completion: commands by their beginning" "$(words re)" "reap report rerun "
is "completion: options of the program itself" "$(words --)" "--help --version "
is "completion: options by their beginning" "$(words cancel --n)" "--now "
is "completion: job files" "$(words run job)" "job.yaml "
like "completion: runs" "$(words status wo)" '^words-[0-9a-f-]+ $'
is "completion: nothing of a foreign command" "$(words exec latest -- re)" " "
done_testing
