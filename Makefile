# What CI does, and one part of it that takes a virtual machine.
CARGO_TARGET_DIR ?= target
export CARGO_TARGET_DIR

test:
	sh tests/all.sh

test-netem:
	cargo build --release --locked --workspace
	sh tests/netem/test.sh "$(abspath $(CARGO_TARGET_DIR))/release/runner"

# Deaths at random moments: make storm N=1000 SEED=7
N ?= 30
SEED ?= 1
storm:
	STORM_N=$(N) STORM_SEED=$(SEED) cargo test --release --locked --test storm -- --nocapture

# As an ordinary user, with hidepid, without /sys. Needs root.
circumstances:
	sh tests/circumstances.sh

.PHONY: test test-netem storm circumstances
