# `make run` builds and executes the main job; `make test` does what CI does.

export CARGO_TARGET_DIR ?= target
RUNNER = $(CARGO_TARGET_DIR)/release/runner

.PHONY: build run test needs clean

build:
	cargo build --release --workspace --locked

run: build
	$(RUNNER) run experiments/blobs-parallel.yaml

# What the tests need besides Rust; a machine without apt or without rights says so and goes on.
needs:
	sh tests/needs.sh

test: needs
	sh tests/all.sh

clean:
	cargo clean
