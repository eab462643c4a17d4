# Two commands do all: `make demo` and `make test`. Both install what is missing and say what and why.
#
# Heavy artefacts (RocksDB, Wasmtime, the std library for WebAssembly) live outside the checkout, so that every clone
# and every branch shares them: MAINSTEM_CACHE, by default ~/.cache/mainstem.

export MAINSTEM_CACHE ?= $(HOME)/.cache/mainstem
export CARGO_TARGET_DIR ?= $(MAINSTEM_CACHE)/target
# In the cache, for a path that all clones share: Cargo builds RocksDB anew when the compiler's name changes.
export CXX := $(MAINSTEM_CACHE)/bin/rocksdb-c++
DATA ?= examples/data/flights-2013-01.csv.gz
CARGO ?= cargo

# Always the whole workspace: a selection of packages has other features, and would build its dependencies anew.
.PHONY: demo test lint bench bench-kafka against-kafka bench-clients clean build setup setup-test plugins foreign crash-loop power-cuts sim plants

demo: build plugins
	python3 examples/demo.py --flights $(DATA)

test: setup-test plugins
	$(CARGO) test --release --workspace

# All clients of tests/foreign and all tests of librdkafka that apply; writes docs/compatibility.md. CLIENTS="kafkajs go ..."
# runs some of them and writes nothing.
foreign: build
	.ci/setup.sh build test foreign
	tests/foreign/run.sh $(CARGO_TARGET_DIR)/release/mainstem $(CLIENTS)

lint: setup
	$(CARGO) fmt --all --check
	$(CARGO) clippy --release --workspace --all-targets --test against_a_broker --test against_a_secured_broker \
		-- -D warnings

bench: build
	$(CARGO) bench --workspace --bench throughput

# Longer than `make test` has time for: ROUNDS=n, and SEED=n to repeat a run.
crash-loop: build
	MAINSTEM_CRASH_ROUNDS=$(or $(ROUNDS),200) $(if $(SEED),MAINSTEM_CRASH_SEED=$(SEED)) \
		$(CARGO) test --release --workspace --test crash -- --nocapture

power-cuts: build
	MAINSTEM_POWER_CUTS=$(or $(ROUNDS),1000) $(if $(SEED),MAINSTEM_CRASH_SEED=$(SEED)) \
		$(CARGO) test --release --workspace --test power_cut

# A whole broker in simulated worlds, one from each seed, on all cores. START=n begins elsewhere, SEED=n is one world.
sim: setup
	$(CARGO) build --release --workspace --bin simulate
	$(CARGO_TARGET_DIR)/release/simulate $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),10000) --start $(or $(START),0))

# Does the simulator find bugs? Those of tests/plants are planted one by one; prints a table. PLANTS="name ..." for some.
plants: setup
	CARGO="$(CARGO)" tests/plants.sh $(PLANTS)

# The suites of the client and of Streams against Apache Kafka, which is fetched first. TESTS="name ..." for some.
against-kafka: setup
	.ci/setup.sh build kafka
	CARGO="$(CARGO)" tests/peers/against.sh $(TESTS)

# Beside Apache Kafka, which is fetched first; see docs/benchmarks.md. BENCH="--rounds 1" makes it short.
bench-kafka: build
	.ci/setup.sh build kafka
	python3 tests/peers/compare.py --mainstem $(CARGO_TARGET_DIR)/release/mainstem $(BENCH)

# Our client beside the others in Rust, which are built first; see docs/benchmarks.md. BENCH="--broker kafka" is against
# Apache Kafka, which .ci/setup.sh fetches with `kafka`.
bench-clients: build
	CARGO="$(CARGO)" python3 tests/peers/clients.py --mainstem $(CARGO_TARGET_DIR)/release/mainstem $(BENCH)

build: setup
	$(CARGO) build --release --workspace --bin mainstem --example flight_delays

plugins: setup
	connectors/build.sh

setup:
	.ci/setup.sh build

setup-test:
	.ci/setup.sh build test

clean:
	rm -rf .demo target connectors/target
	@echo "The shared cache stays: remove $(MAINSTEM_CACHE) by hand to build everything anew."
