# The two commands that matter: `make demo` and `make test`.

export CARGO_TARGET_DIR ?= $(HOME)/.cache/certfleet/target

.PHONY: demo test lint bench sim build install-tools

# The main job on this machine: a CA, three nodes, nginx and HAProxy, all on loopback. KEEP=1 leaves it running.
demo:
	@scripts/setup demo
	@cargo build --quiet --release -p certfleet -p certfleet-testkit --bins
	@$(CARGO_TARGET_DIR)/release/certfleet-demo $(if $(KEEP),--keep)

# Everything that is tested, against real servers.
test:
	@scripts/setup test
	cargo test --workspace

# What else a change must pass.
lint:
	cargo fmt --check
	cargo clippy --workspace --all-targets -- -D warnings
	scripts/deny

# Simulated fleets, one for each seed: make sim SEEDS=1000000
sim:
	@scripts/setup build
	cargo run --release -p certfleet-sim -- --seeds $(or $(SEEDS),2000)

bench:
	@scripts/setup bench
	@benches/run

build:
	@scripts/setup build
	cargo build --release -p certfleet
