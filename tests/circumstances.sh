#!/bin/sh
# The tests once more where less is given than to root on a whole machine: as an ordinary user, as one who sees only processes of
# his own (`hidepid`), and without /sys. Needs root, for the namespaces in which that is arranged; `make circumstances`.
#
# What needs root is left out by name, below: links by namespaces, mounts, other users' files, an engine of our own.
set -eu
cd "$(dirname "$0")/.."
CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}"
case $CARGO_TARGET_DIR in /*) ;; *) CARGO_TARGET_DIR=$PWD/$CARGO_TARGET_DIR ;; esac
export CARGO_TARGET_DIR
[ "$(id -u)" = 0 ] || { echo "needs root" >&2; exit 1; }
built() {
    cargo test --release --locked -p runner --test "$1" --no-run --message-format json 2>/dev/null |
        sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | tail -n 1
}
tests=$(built end_to_end)
storm=$(built storm)
cargo build --release --locked 2>/dev/null
needs_root="links:: containers:: netem foreign:: tmpfs memory:: full_disk full_tmpfs"
skip=
for name in $needs_root; do skip="$skip --skip $name"; done

# Executes a command as user 65534 in a mount namespace in which he can read sources and programs, wherever these are.
# $1: what is arranged there first.
as_nobody() {
    first=$1
    shift
    unshare --mount --propagation private sh -eu -c '
        first=$1 root=$2 target=$3
        shift 3
        keep=$(mktemp -d /tmp/circumstances-XXXXXX)
        chmod 755 "$keep"
        mkdir "$keep/root" "$keep/target"
        mount --bind "$root" "$keep/root"
        mount --bind "$target" "$keep/target"
        for path in "$root" "$target"; do
            top=/$(echo "$path" | cut -d/ -f2)
            if ! setpriv --reuid 65534 --regid 65534 --clear-groups test -x "$path"; then
                mount -t tmpfs -o mode=755 none "$top"
            fi
        done
        mkdir -p "$root" "$target"
        mountpoint -q "$root" || mount --bind "$keep/root" "$root"
        mountpoint -q "$target" || mount --bind "$keep/target" "$target"
        mkdir -p /tmp/home-of-nobody
        chown 65534:65534 /tmp/home-of-nobody
        sh -eu -c "$first"
        cd "$root"
        exec setpriv --reuid 65534 --regid 65534 --clear-groups env -u XDG_RUNTIME_DIR -u XDG_CACHE_HOME HOME=/tmp/home-of-nobody TMPDIR=/tmp CARGO_MANIFEST_DIR="$root" "$@"
    ' sh "$first" "$PWD" "$CARGO_TARGET_DIR" "$@"
}

code=0
run() {
    printf '\n=== %s\n' "$1"
    shift
    "$@" || code=1
}
# shellcheck disable=SC2086
run "as an ordinary user" as_nobody : "$tests" --test-threads 4 $skip
# shellcheck disable=SC2086
run "as an ordinary user who sees only his own processes" as_nobody 'mount -t proc -o hidepid=2 proc /proc' "$tests" --test-threads 4 $skip guards:: endings:: resume::
run "without /sys" unshare --mount --propagation private sh -c 'mount -t tmpfs none /sys && exec "$@"' sh "$tests" --test-threads 4 guards:: endings:: watching verdicts::
run "a storm, as an ordinary user" as_nobody : env STORM_N=12 "$storm" --nocapture
exit $code
