# bash completion for muster. It reads the commands and options from --help, so that there is no second list of them.

# The names of the persistent clusters.
_muster_clusters()
{
	local base=${MUSTER_CLUSTERS:-${XDG_STATE_HOME:-$HOME/.local/state}/muster/clusters}
	(cd "$base" 2>/dev/null && echo *)
}

# The options of a command: only the lines of --help that describe one, not options that the text mentions.
_muster_options() # MUSTER [COMMAND]
{
	[[ $# == 1 ]] && echo --help --version && return
	"$@" --help 2>/dev/null | grep -oE '^ +(-[a-z], )?--[a-z-]+' | grep -oE -- '-[a-z-]+'
}

_muster()
{
	local cur prev command='' i runs words=''
	COMPREPLY=()
	cur=${COMP_WORDS[COMP_CWORD]}
	prev=${COMP_WORDS[COMP_CWORD - 1]}
	runs=${MUSTER_RUNS:-runs}
	for ((i = 1; i < COMP_CWORD; i++)); do
		[[ ${COMP_WORDS[i]} == --runs ]] && runs=${COMP_WORDS[i + 1]}
		[[ ${COMP_WORDS[i]} == -- ]] && return
		if [[ -z $command && ${COMP_WORDS[i]} != -* && ${COMP_WORDS[i - 1]} != --runs ]]; then
			command=${COMP_WORDS[i]}
		fi
	done

	case $prev in
	--runs | --site | --prices | --html | --out | -o)
		compopt -o filenames
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
		;;
	--set | -s)
		mapfile -t COMPREPLY < <(compgen -S = -W 'cluster.nodes cluster.executor run.command run.launch run.mpi run.timeout run.retries run.env.' -- "$cur")
		compopt -o nospace
		return
		;;
	--rank | --node | --since | --name | --number | --deadline | --budget | --at | --pattern | --total | --first) return ;;
	--on)
		mapfile -t COMPREPLY < <(compgen -W "$(_muster_clusters)" -- "$cur")
		return
		;;
	--format)
		mapfile -t COMPREPLY < <(compgen -W 'machinefile hosts ansible' -- "$cur")
		return
		;;
	esac

	if [[ $cur == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$(_muster_options "${COMP_WORDS[0]}" ${command:+"$command"})" -- "$cur")
		return
	fi
	case $command in
	'')
		mapfile -t COMPREPLY < <(compgen -W "$("${COMP_WORDS[0]}" --help 2>/dev/null | sed -nE 's/^  ([a-z]+)  .*/\1/p')" -- "$cur")
		;;
	up)
		compopt -o filenames
		mapfile -t COMPREPLY < <(compgen -W "$(_muster_clusters)" -- "$cur"; compgen -f -X '!*.y*ml' -- "$cur"; compgen -d -- "$cur")
		;;
	cp)
		compopt -o filenames -o nospace
		mapfile -t COMPREPLY < <(for i in $(_muster_clusters); do echo "$i:"; done | grep -F -- "$cur"; compgen -f -- "$cur")
		;;
	ls | hosts | scale | down)
		mapfile -t COMPREPLY < <(compgen -W "$(_muster_clusters)" -- "$cur")
		;;
	action)
		words=$(_muster_clusters)
		for ((i = 2; i < COMP_CWORD; i++)); do
			[[ " $words " == *" ${COMP_WORDS[i]} "* ]] && words=$("${COMP_WORDS[0]}" action "${COMP_WORDS[i]}" 2>/dev/null) && break
		done
		mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
		;;
	run | plan | sweep)
		compopt -o filenames
		mapfile -t COMPREPLY < <(compgen -f -X '!*.y*ml' -- "$cur"; compgen -d -- "$cur")
		;;
	compare | choose)
		mapfile -t COMPREPLY < <(compgen -W "$(cd "$runs/sweeps" 2>/dev/null && ls -t) $([[ $command == compare ]] && cd "$runs" 2>/dev/null && ls -t)" -- "$cur")
		;;
	rerun)
		compopt -o filenames
		mapfile -t COMPREPLY < <(compgen -f -X '!*.tar' -- "$cur"; compgen -d -- "$cur")
		;;
	status | logs | report | cancel | exec | reap | attach | predict | export)
		[[ $command == exec ]] && words=$(_muster_clusters)
		mapfile -t COMPREPLY < <(compgen -W "$words latest $(cd "$runs" 2>/dev/null && ls -t)" -- "$cur")
		;;
	esac
}

complete -F _muster muster
