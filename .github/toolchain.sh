#!/bin/sh
# Makes the Rust of `rust-version` in Cargo.toml the default one: a newer clippy has other opinions.
set -eu
cd "$(dirname "$0")/.."
version=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
rustup toolchain install "$version" --profile minimal --component rustfmt --component clippy
rustup default "$version"
