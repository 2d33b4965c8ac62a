#!/bin/bash
# How long the whole run takes, from a log of any program or from a run of muster's.
. "$(dirname "$0")/lib.sh" || exit 1

/usr/bin/python3 -c '
import datetime
t = datetime.datetime(2024, 5, 1, 23, 59, 50)
print(t.isoformat(" "), "INFO reading 60000 images")
t += datetime.timedelta(seconds=6)
for i in range(1, 401):
    t += datetime.timedelta(milliseconds=250 + i * 7 % 11 - 5)
    print(t.isoformat(" ", "milliseconds").replace(".", ","), "INFO [epoch: 1/1][iteration: %d/400] loss 0.5" % i)' >stamped.log

muster predict --first 20 --json stamped.log
status_is "a log with time stamps" 0
printf '%s' "$out" >out.json
is "says how long it takes, and how long it took" "$(json_value out.json '(abs(e[0]["total"][0] - 106) < 0.5, abs(e[0]["actual"] - 106) < 0.2, abs(e[0]["error"]) < 0.005)')" "[true, true, true]"
is "the interval holds the truth" "$(json_value out.json 'e[0]["total"][1] <= e[0]["actual"] <= e[0]["total"][2]')" true
is "reading is apart" "$(json_value out.json 'round(e[0]["init"], 1)')" 6.0

sed 's/^[^ ]* [^ ]* //; s/$/ time: 0.25/' stamped.log >durations.log
muster predict durations.log stamped.log
status_is "two logs" 0
like "a table of them" "$out" 'NAME .*WHOLE RUN.*
durations.log +400 of 400 +0.25 s.*
stamped.log +400 of 400'

# PyTorch's DCGAN counts epochs and iterations from 0; its log may have come from anywhere. A bar writes over its line.
/usr/bin/python3 -c '
import datetime
t = datetime.datetime(2024, 5, 1, 10, 0, 0)
print(t.strftime("%H:%M:%S"), "Starting Training Loop...", end="\r\n")
for i in range(0, 5 * 1583):
    t += datetime.timedelta(milliseconds=400 if i else 5000)
    if i % 1583 % 50 == 0:
        print(t.strftime("%H:%M:%S"), "[%d/5][%d/1583]\tLoss_D: 1.2\tLoss_G: 2.0" % divmod(i, 1583), end="\r\n")' >dcgan.log
muster predict --first 1000 --json dcgan.log
status_is "epochs and iterations that count from 0" 0
printf '%s' "$out" >out.json
is "none of them is lost" "$(json_value out.json '(e[0]["done"], e[0]["turns"], round(e[0]["init"]))')" "[1000, 7915, 5]"
is "the whole is predicted" "$(json_value out.json '(lambda t: t[1] <= 3170.6 <= t[2] and abs(t[0] - 3170.6) < 10)(e[0]["total"])')" true

/usr/bin/python3 -c '
for epoch in range(2):
    for i in range(1, 51):
        print("\rEpoch %d: %3d%%|####      | %d/50 [%02d:%02d<00:30,  0.5it/s, loss=1]" % (epoch, 2 * i, i, *divmod(2 * i, 60)), end="")
    print()' >bar.log
muster predict --total 500 --json bar.log
status_is "a bar for each epoch" 0
printf '%s' "$out" >out.json
is "is one run" "$(json_value out.json '(e[0]["clock"], e[0]["done"], (lambda t: t[1] <= 1000 <= t[2])(e[0]["total"]))')" '["elapsed times", 100, true]'

cat >turns.yaml <<'J'
name: turns
run:
  command: i=0; while [ $i -lt 30 ]; do i=$((i + 1)); sleep 0.03; echo "step $i/30"; done
J
muster run -q turns.yaml
muster predict --first 15 latest
status_is "a run" 0
like "is predicted, and compared with what it took" "$out" 'latest +15 of 30 .* s +[0-9.]+ s to [0-9.]+ s +[0-9.]+ s +[+-][0-9.]+ %'

muster predict
status_is "nothing to look at" 2
muster predict "$SCRATCH/none"
status_is "neither a file nor a run" 3
muster predict --total 0 stamped.log
status_is "a total that is none" 2
echo 'loss 7' >nothing.log
muster predict nothing.log
status_is "no line of an iteration" 2
like "is said with a line that is there" "$err" "nothing.log: none of its 1 lines reports an iteration, such as 'loss 7'; describe such lines with --pattern"
for i in 1 2 3 4 5 6; do echo "step $i/40 time: 0.00"; done >still.log
muster predict still.log
status_is "iterations that took no time" 0
unlike "have no part of it" "$out" 'inf|nan'
muster predict --total 4000 --pattern 'iteration: (\d+)' stamped.log
like "an own pattern and total" "$out" '400 of 4000'
done_testing
