#!/bin/sh
# Builds the book out of these pages; whatever does not fit – a link, an anchor, a page that is not in the table of contents – is an
# error. `sh docs/build.sh [DIR]`: where it is written, by default target/book. mkdocs comes from PyPI into a folder of its own.
set -eu
cd "$(dirname "$0")/.."
out=${1:-${CARGO_TARGET_DIR:-target}/book}
case $out in /*) ;; *) out=$PWD/$out ;; esac
tools=${XDG_CACHE_HOME:-$HOME/.cache}/runner/mkdocs
if ! cmp -s docs/requirements.txt "$tools/requirements.txt"; then
    rm -rf "$tools"
    python3 -m venv "$tools"
    "$tools/bin/pip" install --quiet --disable-pip-version-check -r docs/requirements.txt
    cp docs/requirements.txt "$tools/requirements.txt"
fi
"$tools/bin/mkdocs" build --strict --config-file mkdocs.yml --site-dir "$out"
echo "the book is in $out/index.html"
