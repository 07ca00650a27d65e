# The two commands that matter: `make demo` and `make test`.

export CARGO_TARGET_DIR ?= $(HOME)/.cache/certfleet/target

.PHONY: demo test lint bench sim sim-scale build install-tools

# The main job on this machine: a CA, three nodes, nginx and HAProxy, all on loopback. KEEP=1 leaves it running.
demo:
	@scripts/setup demo
	@cargo build --quiet --release -p certfleet -p certfleet-testkit --bins
	@$(CARGO_TARGET_DIR)/release/certfleet-demo $(if $(KEEP),--keep)

# Everything that is tested, against real servers.
test:
	@scripts/setup test
	cargo test --workspace
	scripts/fuzz

# What else a change must pass.
lint:
	cargo fmt --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo fmt --check --manifest-path fuzz/Cargo.toml
	scripts/deny

# Simulated fleets, one for each seed: make sim SEEDS=1000000. RARE=4: removals, copies, backups and the like come four times as often.
sim:
	@scripts/setup build
	cargo run --release -p certfleet-sim -- --seeds $(or $(SEEDS),2000) $(if $(RARE),--rare $(RARE))

# Ten thousand nodes and a million certificates through a life of 90 days and one of 45: figures (Markdown) and curves (SVG) go to $(SCALE).
# About 10 GB of memory, and half an hour of one core. SCALE_ARGUMENTS="--issuers 2" and the like change what is run.
SCALE ?= $(CARGO_TARGET_DIR)/scale
sim-scale:
	@scripts/setup build
	cargo build --release -p certfleet-sim
	@mkdir -p $(SCALE)
	@for days in 90 45; do \
	  $(CARGO_TARGET_DIR)/release/certfleet-sim scale --life-days $$days --svg $(SCALE)/scale-$$days.svg $(SCALE_ARGUMENTS) > $(SCALE)/scale-$$days.md || exit 1; \
	  cat $(SCALE)/scale-$$days.md; \
	done

bench:
	@scripts/setup bench
	@benches/run

build:
	@scripts/setup build
	cargo build --release -p certfleet
