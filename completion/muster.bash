# bash completion for muster. Commands and options are read from --help, so that there is no second list of them here.

_muster()
{
	local cur prev command= option i runs
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
	--runs | --site)
		compopt -o filenames
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
		;;
	--set | -s)
		mapfile -t COMPREPLY < <(compgen -S = -W 'cluster.nodes cluster.executor run.command run.launch run.mpi run.timeout run.retries run.env.' -- "$cur")
		compopt -o nospace
		return
		;;
	--rank | --node | --since) return ;;
	esac

	if [[ $cur == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$("${COMP_WORDS[0]}" $command --help 2>/dev/null | grep -oE -- '(^|[ ,[])--?[a-z][a-z-]*' | tr -d ' ,[' | sort -u)" -- "$cur")
		return
	fi
	case $command in
	'')
		mapfile -t COMPREPLY < <(compgen -W "$("${COMP_WORDS[0]}" --help 2>/dev/null | sed -nE 's/^  ([a-z]+)  .*/\1/p')" -- "$cur")
		;;
	run | plan | sweep)
		compopt -o filenames
		mapfile -t COMPREPLY < <(compgen -f -X '!*.y*ml' -- "$cur"; compgen -d -- "$cur")
		;;
	status | logs | report | cancel | exec | reap | attach | predict)
		mapfile -t COMPREPLY < <(compgen -W "latest $(cd "$runs" 2>/dev/null && ls -t)" -- "$cur")
		;;
	esac
}

complete -F _muster muster
