#!/bin/sh
# Makes the image of the terminal, with the name that is the first argument: sh experiments/typing/image.sh runner-typing
#
# The executable is linked statically with the C library of this machine, so no other target has to be installed. Names are not
# resolved in it, as that would load a library: listen on an address. Needs cargo, docker and busybox (busybox-static of Debian).
# CONTAINER_ENGINE names an engine other than docker, DOCKER_HOST another socket.
set -eu
[ $# = 1 ] || { echo "usage: image.sh NAME, such as: image.sh runner-typing" >&2; exit 2; }
image=$1
here=$(cd "$(dirname "$0")" && pwd)
busybox=$(command -v busybox) || { echo "busybox is not installed; expected a static one, as of Debian's busybox-static" >&2; exit 1; }
cd "$here/../.."
target=$(rustc -vV | sed -n 's/^host: //p')
# With a target named, the flags are for it alone and not for what runs while it is built.
RUSTFLAGS="-C target-feature=+crt-static" cargo build --release --locked --package runner-fixtures --target "$target"

context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
mkdir -p "$context/rootfs/bin" "$context/rootfs/tmp"
cp "$here/Dockerfile" "$context"
cp "${CARGO_TARGET_DIR:-target}/$target/release/fixtures" "$context/rootfs/bin/runner-fixtures"
cp "$busybox" "$context/rootfs/bin"
for name in sh cat sleep; do
    ln -s busybox "$context/rootfs/bin/$name"
done
# The builder that comes with the engine: the newer one is not installed everywhere.
DOCKER_BUILDKIT=0 "${CONTAINER_ENGINE:-docker}" build --tag "$image" "$context"
