# A thin front door to meson: every target says what it runs.
BUILD = build
ASAN = build-asan
FUZZ = build-fuzz
FUZZ_SECONDS = 60
PREFIX = /usr/local
JOBS = $(shell nproc)
MUSTER = $(BUILD)/src/muster
DEMO = examples/dcgan.yaml

all: build

# Installs the Debian packages of debian-packages.txt that are missing.
deps:
	@.ci/deps

$(BUILD)/build.ninja:
	meson setup $(BUILD) --prefix=$(PREFIX) >/dev/null

build: $(BUILD)/build.ninja
	@ninja -C $(BUILD) -j $(JOBS)

# One job file, one command: a DCGAN on two nodes of this machine.
demo:
	@.ci/deps build trainers examples
	@$(MAKE) --no-print-directory build
	$(MUSTER) run $(DEMO)
	@$(MUSTER) report

# Everything: all suites on a plain build, then the C suites once more under address and undefined sanitizers.
check:
	@.ci/deps
	@.ci/check $(BUILD) $(ASAN) $(JOBS)

# Shared directories on real NFS, between two guests under QEMU: needs root, and a minute more the first time, when it makes their image.
check-nfs:
	@.ci/deps build trainers nfs
	@$(MAKE) --no-print-directory build
	@MUSTER=$(MUSTER) tests/nfs/run $(BUILD)/nfs

# A real Kubernetes on this machine: needs root, Go, and 10 to 20 minutes more the first time, when it is built.
check-kube:
	@.ci/deps build trainers examples kube
	@command -v go >/dev/null || test -x /usr/local/go/bin/go || .ci/deps go
	@$(MAKE) --no-print-directory build
	@tests/kube/run $(BUILD) $(JOBS)

# One suite: make unit, make e2e ...
unit golden contract e2e fuzz-corpus layers trainers: build
	meson test -C $(BUILD) --no-rebuild --print-errorlogs --suite $(subst fuzz-corpus,fuzz,$@)

# Looks for new inputs that break a parser, FUZZ_SECONDS for each, with clang's libFuzzer.
fuzz:
	@command -v clang >/dev/null || { echo "make fuzz needs clang and libclang-rt-14-dev" >&2; exit 1; }
	@test -f $(FUZZ)/build.ninja || CC=clang meson setup $(FUZZ) -Dfuzzer=true -Dtrainers=false -Dagent_static=false -Dwerror=false \
		-Db_sanitize=address -Db_lundef=false -Dc_args=-fsanitize=fuzzer-no-link >/dev/null
	@ninja -C $(FUZZ) -j $(JOBS)
	@tests/fuzz/run $(FUZZ) $(FUZZ_SECONDS)

bench: build
	@for b in bench/*/run; do MUSTER=$(MUSTER) $$b || exit 1; done

install: build
	meson install -C $(BUILD) --no-rebuild --quiet

clean:
	rm -rf $(BUILD) $(ASAN) $(FUZZ)

.PHONY: all deps build demo check check-nfs check-kube unit golden contract e2e fuzz-corpus layers trainers fuzz bench install clean
