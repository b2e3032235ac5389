#!/bin/sh
# Packs both programs as a release offers them, and writes the checksum beside the archive:
#
#   sh .github/archive.sh TARGET FOLDER-WITH-THE-PROGRAMS FOLDER-FOR-THE-ARCHIVE
#
# `cargo binstall` looks for this name and for these paths: `[package.metadata.binstall]` in Cargo.toml. The same programs of the
# same commit give the same bytes; SOURCE_DATE_EPOCH stands for the time of the commit.
set -eu
[ $# = 3 ] || { echo "usage: archive.sh TARGET PROGRAMS OUT" >&2; exit 2; }
cd "$(dirname "$0")/.."
target=$1 programs=$2 out=$3
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml)
name=runner-$version-$target
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir -p "$out" "$folder/$name"
install -m 755 "$programs/runner" "$programs/runner-fixtures" "$folder/$name"
install -m 644 README.md CHANGELOG.md LICENSE-MIT LICENSE-APACHE "$folder/$name"
# The fonts that are built into `runner`.
install -m 644 src/plot/fonts/LICENSE "$folder/$name/LICENSE-FONTS"
tar --create --directory "$folder" --sort=name --owner=0 --group=0 --numeric-owner \
    --mtime="@${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}" --mode=u+rwX,go+rX,go-w "$name" | gzip -9 -n >"$out/$name.tar.gz"
cd "$out"
sha256sum "$name.tar.gz" >"$name.tar.gz.sha256"
echo "$out/$name.tar.gz"
