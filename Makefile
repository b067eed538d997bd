# One command for each thing that people and CI do; the build itself is CMake's (CMakePresets.json).
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

JOBS ?= $(shell nproc)
PREFIX ?= /usr/local
DESTDIR ?=
# CPU seconds that each fuzzer gets.
FUZZ_SECONDS ?= 600
# --access-logs: every proxy logs each request.
BENCH_FLAGS ?=
# Release of the agent server and SDK: one that tests/interop has constraints for.
INTEROP_VERSION ?= 1.43.1
# Of tests/chaos/run.py: names of scenarios, --keep.
CHAOS_FLAGS ?=

configure = cmake --preset $(1) $(2) >build/$(1).configure.log || { cat build/$(1).configure.log; exit 1; }
ninja = cmake --build build/$(1) -j $(JOBS)

.PHONY: help build demo run test-build test test-asan test-leaves-asan test-tsan gcc-check bench bench-smoke bench-automation fuzz interop chaos lint format install check clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

build: ## the release programs, into build/release/bin
	deploy/install-deps.sh --build
	@mkdir -p build
	$(call configure,release)
	$(call ninja,release) --target nestgate nestlet

demo: build ## three conversations behind one gateway, every routing kind, one report; exit code 0 if all held
	deploy/install-deps.sh --demo
	python3 deploy/demo.py --bin build/release/bin

run: build ## the same gateway stays up and prints addresses, keys and example calls
	deploy/install-deps.sh --demo
	python3 deploy/demo.py --bin build/release/bin --stay

test-build: ## the programs of the tests
	deploy/install-deps.sh --build --test
	@mkdir -p build
	$(call configure,dev)
	$(call ninja,dev)

test: test-build ## every test
	ctest --test-dir build/dev --output-on-failure -j $(JOBS)

test-asan: ## every test under address and undefined-behaviour sanitizers
	deploy/install-deps.sh --build --test
	@mkdir -p build
	$(call configure,asan)
	$(call ninja,asan)
	ctest --test-dir build/asan --output-on-failure -j $(JOBS)

test-leaves-asan: ## the tests of the pure leaves under address and undefined-behaviour sanitizers
	deploy/install-deps.sh --build --test
	@mkdir -p build
	$(call configure,asan)
	$(call ninja,asan) --target test_base test_codec test_http test_identity test_schedule test_event
	for leaf in base codec http identity schedule event; do build/asan/bin/test_$$leaf --gtest_brief=1; done

test-tsan: ## every test under the thread sanitizer
	deploy/install-deps.sh --build --test
	@mkdir -p build
	$(call configure,tsan)
	$(call ninja,tsan)
	ctest --test-dir build/tsan --output-on-failure -j $(JOBS)

gcc-check: ## the leaves and their tests with g++ 12 and its sanitizers
	deploy/install-deps.sh --build --test --lint
	@mkdir -p build
	$(call configure,gcc-check)
	$(call ninja,gcc-check)
	ctest --test-dir build/gcc-check --output-on-failure -j $(JOBS)

bench: ## nestgate, nginx and HAProxy on the same exchange; exit code 0 if nestgate needs no more CPU than nginx
	deploy/install-deps.sh --build --bench
	@mkdir -p build
	$(call configure,release,-DNESTGATE_BENCH=ON)
	$(call ninja,release) --target nestgate nestlet benches
	python3 bench/run.py --bin build/release/bin --raw build/bench $(BENCH_FLAGS)

bench-smoke: ## the bench in its short form: only that it runs
	deploy/install-deps.sh --build --bench
	@mkdir -p build
	$(call configure,release,-DNESTGATE_BENCH=ON)
	$(call ninja,release) --target nestgate nestlet benches
	python3 bench/run.py --bin build/release/bin --raw build/bench --smoke

bench-automation: ## the automations on both stores; exit code 0 if every bound held; SMOKE=1: short, only that it runs
	deploy/install-deps.sh --build --bench --test
	@mkdir -p build
	$(call configure,release,-DNESTGATE_BENCH=ON)
	$(call ninja,release) --target nestgate nestlet automation_benches
	python3 bench/automation.py --bin build/release/bin --raw build/bench $(if $(SMOKE),--smoke)

fuzz: ## each fuzzer for FUZZ_SECONDS of CPU time; exit code 0 if none found anything
	deploy/install-deps.sh --build --test
	@mkdir -p build
	$(call configure,fuzz)
	$(call ninja,fuzz) --target fuzzers
	python3 tests/tools/fuzz.py --bin build/fuzz/bin --seeds tests/fuzz --work build/fuzz --seconds $(FUZZ_SECONDS) --jobs $(JOBS)

interop: $(if $(BIN),,build) ## the real agent server and SDK (from PyPI) through nestgate; INTEROP_SMOKE=1: short, INTEROP_OPTIONAL=1: 0 where they cannot be had
	deploy/install-deps.sh --demo
	python3 tests/interop/run.py --bin $(or $(BIN),build/release/bin) --version $(INTEROP_VERSION) $(if $(INTEROP_SMOKE),--smoke) $(if $(INTEROP_OPTIONAL),--optional)

chaos: $(if $(BIN),,build) ## gateway killed at each step of conversations and of automation runs, Docker engine restarted, containers killed, races; CHAOS_SMOKE=1: short, FIGURES=1: figures are checks, too
	deploy/install-deps.sh --demo --test
	python3 tests/chaos/run.py --bin $(or $(BIN),build/release/bin) $(if $(CHAOS_SMOKE),--smoke) $(if $(FIGURES),--figures) $(CHAOS_FLAGS)

lint: ## format, clang-tidy's short list, module layers, house rules, the table of known faults
	deploy/install-deps.sh --build --test --lint
	python3 tests/tools/tidy.py
	python3 tests/tools/check_layers.py
	python3 tests/tools/known_faults.py
	git ls-files -co --exclude-standard '*.hpp' '*.cpp' | xargs clang-format-19 --dry-run --Werror
	@mkdir -p build
	$(call configure,release,-B build/lint)
	run-clang-tidy-19 -quiet -p build/lint -j $(JOBS) "$$PWD/src/.*\.cpp" >build/clang-tidy.log 2>&1 || { grep -E -A3 'error:|Error' build/clang-tidy.log; exit 1; }

format: ## rewrite our C++ files in the house format
	deploy/install-deps.sh --lint
	git ls-files -co --exclude-standard '*.hpp' '*.cpp' | xargs clang-format-19 -i

install: build ## programs, example settings, systemd unit, man pages and licence, under DESTDIR and PREFIX
	install -d $(addprefix $(DESTDIR)$(PREFIX)/,bin lib/systemd/system lib/sysusers.d share/man/man1 share/nestgate share/doc/nestgate)
	install -m 755 $(addprefix build/release/bin/,nestgate nestgate-keeper nestlet) $(DESTDIR)$(PREFIX)/bin/
	install -m 644 config/nestgate.example.toml $(DESTDIR)$(PREFIX)/share/nestgate/
	sed 's|/usr/local|$(PREFIX)|g' deploy/nestgate.service | install -m 644 /dev/stdin $(DESTDIR)$(PREFIX)/lib/systemd/system/nestgate.service
	install -m 644 deploy/nestgate.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/nestgate.conf
	install -m 644 deploy/nestgate.1 deploy/nestlet.1 $(DESTDIR)$(PREFIX)/share/man/man1/
	install -m 644 LICENSE $(DESTDIR)$(PREFIX)/share/doc/nestgate/

check: ## what CI does
	.ci/run

clean: ## removes build/
	rm -rf build
