#!/bin/bash
# What a run may take and cost: refused when it cannot fit, stopped gently when it will not, its results kept.
. "$(dirname "$0")/lib.sh" || exit 1

cat >turns.yaml <<'J'
name: turns
run:
  command: 'i=0; while [ $i -lt 400 ]; do i=$((i + 1)); sleep 0.05; echo "step $i/400"; echo $i >>result; done'
outputs: [result]
budget: {max_time: 10s}
J
muster run turns.yaml
status_is "a run that will need 20 s and may take 10" 1
like "is stopped as soon as that is clear" "$err$out" 'over budget: predicted 2[0-9.]+ s \(at least .*\), allowed 10'
is "long before" "$(json_value "$(run_dir)/report.json" 'e["seconds"] < 7')" true
ok "its results are kept" test -s "$(run_dir)/outputs/node-0/result"

sed 's/echo "step $i.400"; //; s/10s/2s/' turns.yaml >silent.yaml
muster run silent.yaml
status_is "a run that does not say how far it is" 1
like "is stopped when all is spent" "$err$out" 'over budget: reached the limit, 2.0 s'
ok "its results are kept" test -s "$(run_dir)/outputs/node-0/result"

sed 's/max_time: 10s/max_cost: 0.005/' turns.yaml >cost.yaml
muster run cost.yaml
status_is "a budget in money without prices" 2
like "needs some" "$err" 'budget.max_cost is 0.005, but the price of these nodes is unknown: expected a price file'
echo 'prices: [{executor: local, per_hour: 36, minimum: 60s}]' >prices.yaml
muster run cost.yaml
status_is "a budget that not even a second fits" 2
like "is refused" "$err" 'budget.max_cost is 0.005, but these nodes cost at least 0.6'
ok "before anything was done" test "$(run_count)" = 2
echo 'prices: [{executor: local, per_hour: 3.6}]' >prices.yaml
muster run cost.yaml
status_is "a run that will cost too much" 1
like "is stopped as soon as that is clear" "$err$out" 'over budget: predicted .*, allowed 5.0 s, which 0.00500 pays for'
muster run cost.yaml -q --set budget.max_cost=1 --set run.command='echo "step 1/1"'
status_is "one that fits" 0
done_testing
