# bash completion for muster
