#!/bin/bash
# How tests/kube/build keeps what it makes: nothing is made twice, two at once make it once, one that is killed leaves nothing half done. Go is
# one of the test's own, which makes nothing but is quick and can be held up.
. "$(dirname "$0")/../e2e/lib.sh" || exit 1

mkdir bin cache
cat >bin/go <<S
#!/bin/sh
case \$1 in
env) echo go1.99.1 ;;
version) echo "go version go1.99.1 linux/amd64" ;;
build)
	echo "\$\$" >>$SCRATCH/builds
	while [ -e $SCRATCH/hold ]; do sleep 0.05; done
	[ ! -e $SCRATCH/broken ] || { echo "does not compile" >&2; exit 1; }
	while [ "\$1" != -o ]; do shift; done
	printf '#!/bin/sh\necho kubectl\n' >"\$2"
	chmod +x "\$2"
	;;
esac
S
chmod +x bin/go
build() { PATH=$PWD/bin:$PATH XDG_CACHE_HOME=$PWD/cache setsid "$TESTS/build"; }
builds() { wc -l <"$SCRATCH/builds"; }
began() { [ "$(builds)" -ge "$1" ]; }
folders() { find cache/muster/kube -mindepth 1 -maxdepth 1 -type d -printf '%f\n'; }
waits() { grep -q "another build" second.err; }

touch "$SCRATCH/broken" "$SCRATCH/builds"
build >first 2>first.err
is "what does not compile is an error, and no folder is named" "$? $(cat first)" "1 "
like "which is shown" "$(cat first.err)" "does not compile"
is "and nothing is kept" "$(folders)" ""
rm "$SCRATCH/broken" && : >"$SCRATCH/builds"

touch "$SCRATCH/hold"
build >first 2>first.err &
ok "a build begins" wait_for 10 began 1
# A session is killed: build, what it waits for, and Go.
kill -9 -- "-$(ps -o sid= "$(tail -n 1 "$SCRATCH/builds")" | tr -d ' ')"
wait
like "killed, it leaves something" "$(folders)" '^\.build\.'
: >"$SCRATCH/builds"
build >first 2>first.err &
ok "another begins" wait_for 10 began 1
build >second 2>second.err &
ok "a third one waits for it" wait_for 10 waits
rm "$SCRATCH/hold"
wait
is "both have the same" "$(cat first)" "$(cat second)"
ok "with its programs" test -x "$(cat first)/helm" -a -x "$(cat first)/kubectl"
is "each was made once" "$(builds)" 2
is "and nothing else is there" "$(folders)" "$(basename "$(cat first)")"
is "once more" "$(build)" "$(cat first)"
is "makes nothing" "$(builds)" 2
done_testing
