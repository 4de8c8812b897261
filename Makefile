# Everything there is to type. `make help` lists it.
#
# Settings: ARGS (options of `make run`), FILTER (tests of `make test` and `make sanitize`), SANITIZERS
# (`make sanitize`), SECONDS, REPEATS, EVENTS and ONLY (`make bench`), CHAOS_ROUNDS, CHAOS_SEED, CHAOS_JOBS,
# SIMULATION_SEEDS and SIMULATION_SEED (`make chaos`), IMAGE (the name of `make image`), FUZZ_SECONDS and FUZZERS
# (`make fuzz`).

ARGS ?=
FILTER ?=
SECONDS ?= 8
REPEATS ?= 3
EVENTS ?= 300000
ONLY ?=
CHAOS_ROUNDS ?= 100
CHAOS_SEED ?= 1
CHAOS_JOBS ?= 4
SIMULATION_SEEDS ?= 5000
SIMULATION_SEED ?= 1
IMAGE ?= millrace
FUZZ_SECONDS ?= 600
FUZZERS ?=
SANITIZERS ?= thread address

# The compiler itself refuses an import that the manifest does not allow.
build := swift build --explicit-target-dependency-import-check error
# One file with the runtime of Swift in it, as in the image: it starts with less memory, and runs where no Swift is.
release := $(build) -c release --static-swift-stdlib --product millrace
release_binary = $$(swift build -c release --show-bin-path)/millrace
conformance_tools := .build/conformance-tools
swift_code := Sources Tests Package.swift

.PHONY: help run test sanitize lint format bench chaos fuzz conformance image
.PHONY: setup-run setup-test setup-bench setup-conformance

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

run: setup-run ## build a release and serve on an embedded database (ARGS: options of `millrace serve`)
	$(release)
	exec "$(release_binary)" serve $(ARGS)

test: setup-test ## build and run every test (FILTER: a regular expression of test names)
	$(build) --build-tests
	swift test --skip-build $(if $(FILTER),--filter '$(FILTER)')

sanitize: setup-test ## run every test under the thread and the address sanitizer (SANITIZERS, FILTER)
	set -e; for sanitizer in $(SANITIZERS); do Tests/Sanitizing/run $$sanitizer '$(FILTER)'; done

lint: ## check the formatting of the Swift code and the syntax of the scripts
	swift format lint --strict --parallel --recursive $(swift_code)
	@bash -n .ci/run .ci/setup Tests/Fuzzing/run Tests/Sanitizing/run
	@if command -v shellcheck >/dev/null; then shellcheck .ci/run .ci/setup Tests/Fuzzing/run Tests/Sanitizing/run; fi
	@if command -v python3 >/dev/null; then \
	    python3 -c 'import ast, sys; [ast.parse(open(name).read(), name) for name in sys.argv[1:]]' \
	        Benchmarks/run Benchmarks/*.py Tests/Conformance/run; fi

format: ## format the Swift code in place
	swift format --in-place --parallel --recursive $(swift_code)

bench: setup-bench ## measure a release build (SECONDS, REPEATS, EVENTS, ONLY: some by name); prints a table
	@$(release) >&2
	@Benchmarks/run --binary "$(release_binary)" \
	    --seconds $(SECONDS) --repeats $(REPEATS) --events $(EVENTS) $(if $(ONLY),--only $(ONLY))

chaos: setup-test ## break it while clients send (CHAOS_ROUNDS from seed CHAOS_SEED on, SIMULATION_SEEDS likewise)
	$(build) --build-tests
	SIMULATION_SEEDS=$(SIMULATION_SEEDS) SIMULATION_SEED=$(SIMULATION_SEED) \
	    swift test --skip-build --filter 'SimulationTests'
	CHAOS_ROUNDS=$(CHAOS_ROUNDS) CHAOS_SEED=$(CHAOS_SEED) CHAOS_JOBS=$(CHAOS_JOBS) \
	    swift test --skip-build --filter '/Chaos/'

fuzz: setup-test ## fuzz the parsers (FUZZ_SECONDS each; FUZZERS: some of them by name)
	Tests/Fuzzing/run $(FUZZ_SECONDS) $(FUZZERS)

conformance: setup-conformance $(conformance_tools)/ready ## have curl, wrk, ab, h2load and others speak to a release build
	$(release)
	Tests/Conformance/run --binary "$(release_binary)" --python-programs $(conformance_tools)/bin

$(conformance_tools)/ready: Tests/Conformance/requirements.txt
	python3 -m venv $(conformance_tools)
	$(conformance_tools)/bin/pip install --quiet --disable-pip-version-check --requirement $<
	touch $@

image: ## build the container image with docker, podman or buildah (IMAGE: its name)
	@if command -v docker >/dev/null && docker info >/dev/null 2>&1; then docker build -t $(IMAGE) .; \
	elif command -v podman >/dev/null; then podman build --format docker -t $(IMAGE) .; \
	elif command -v buildah >/dev/null; then buildah build --format docker -t $(IMAGE) .; \
	else echo 'make image: needs a running docker engine, podman or buildah; none was found' >&2; exit 1; fi

setup-run setup-test setup-bench setup-conformance: setup-%:
	@.ci/setup $*
