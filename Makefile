# `make` alone lists the targets, with the text after `##`.
CARGO_TARGET_DIR ?= target
export CARGO_TARGET_DIR

# cargo-nextest if it is installed, otherwise cargo's own test runner, as in tests/all.sh.
nextest := $(shell cargo nextest --version >/dev/null 2>&1 && echo yes)
tests := cargo $(if $(nextest),nextest run,test) --release --locked
named = $(if $(nextest),$(NAME),$(if $(NAME),-- $(NAME)))

# `make e2e links` is `make e2e NAME=links`. The words after such a target are names of tests, not targets, even if there is a
# target of that name, and there is nothing to make for them.
takes_names := $(filter unit e2e,$(firstword $(MAKECMDGOALS)))
names := $(if $(takes_names),$(wordlist 2,$(words $(MAKECMDGOALS)),$(MAKECMDGOALS)))
ifneq ($(names),)
NAME := $(names)
Makefile: ;
%: ; @:
endif

.DEFAULT_GOAL := help
.PHONY: unit e2e

# See tests/united/Cargo.toml.
united = -p runner-united -p runner-$(CRATE)

unit: ## the tests that stand beside the code, which are fast: make unit, make unit NAME=stats, make unit CRATE=analysis
	$(tests) --lib $(if $(CRATE),$(united),--workspace) $(named)

e2e: ## end-to-end tests whose name holds a word: make e2e NAME=links, make e2e mistakes::auth_colon
	$(tests) --test end_to_end $(named)

ifeq ($(names),)
.PHONY: help lint deny review docs reference validate test test-netem storm circumstances

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' Makefile

lint: ## the format, and clippy with warnings denied
	cargo fmt --all --check
	cargo clippy --release --workspace --all-targets --locked -- -D warnings

deny: ## licences, sources and known vulnerabilities of libraries, by cargo-deny
	sh tests/deny.sh

review: ## snapshots that differ, one after the other, to accept or to reject
	@if cargo insta --version >/dev/null 2>&1; then \
		cargo insta review --workspace; \
	else \
		echo "cargo-insta is not installed; this installs it: cargo install --locked cargo-insta"; \
		echo "Snapshots that wait (to accept one without it, take the .new from the end of its name):"; \
		find src tests fixtures -name '*.snap.new' -o -name '*.pending-snap'; \
	fi

docs: ## the book in target/book with all links checked, and rustdoc with warnings denied
	sh docs/build.sh
	RUSTDOCFLAGS="-D warnings" cargo doc --release --workspace --no-deps --locked --quiet

reference: ## writes the generated parts of docs/: keys, metrics, command line, validation
	RUNNER_WRITE_BOOK=1 cargo test --release --locked --test end_to_end -- book::generated

validate: ## measures what is known beforehand, and writes docs/validation.json: 5 minutes on an idle machine
	cargo build --release --locked
	python3 benches/truth.py --quick --runner "$(abspath $(CARGO_TARGET_DIR))/release/runner" --json docs/validation.json
	$(MAKE) reference

test: ## all that CI does; it installs what the tests need
	sh tests/all.sh

test-netem: ## links by the kernel's own emulation, in a virtual machine
	cargo build --release --locked
	sh tests/netem/test.sh "$(abspath $(CARGO_TARGET_DIR))/release/runner"

N ?= 30
SEED ?= 1
storm: ## deaths at random moments: make storm N=1000 SEED=7
	STORM_N=$(N) STORM_SEED=$(SEED) cargo test --release --locked --test storm -- --nocapture

circumstances: ## the tests as an ordinary user, with hidepid, without /sys; needs root
	sh tests/circumstances.sh
endif
