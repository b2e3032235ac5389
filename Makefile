# What CI does, and one part of it that takes a virtual machine.
CARGO_TARGET_DIR ?= target
export CARGO_TARGET_DIR

test:
	sh tests/all.sh

test-netem:
	cargo build --release --locked --workspace
	sh tests/netem/test.sh "$(abspath $(CARGO_TARGET_DIR))/release/runner"

.PHONY: test test-netem
