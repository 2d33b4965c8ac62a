#!/bin/bash
# retries: the ranks are started again after one failed, as often as the job says, and the run remembers every attempt.
. "$(dirname "$0")/lib.sh" || exit 1

cat >retry.yaml <<J
name: retry
cluster: {nodes: 2}
run:
  retries: 2
  grace: 1s
  command: |
    if [ {rank} = 0 ]; then while [ ! -e $SCRATCH/third ]; do sleep 0.05; done; exit 0; fi
    echo x >>{data}/tries; n=\$(wc -l <{data}/tries); echo "try \$n"
    if [ \$n -lt 3 ]; then exit 5; fi
    touch $SCRATCH/third
J
muster run retry.yaml
status_is "the third attempt succeeds" 0
is "the outcome is ok" "$(outcome)" ok
is "two retries are recorded" "$(events 'e["attempt"] if e["type"] == "retry" else None' | tr '\n' ' ')" "2 3 "
like "output of all attempts is kept" "$(output 1)" $'try 1\ntry 2\ntry 3'
rm "$SCRATCH/third"
muster run retry.yaml --set run.retries=1
status_is "not more often than asked" 1
like "why" "$(why)" "rank 1.*5"
is "one retry" "$(events 'e["attempt"] if e["type"] == "retry" else None' | tr '\n' ' ')" "2 "
done_testing
