#!/bin/sh
# Installs the real programs that tests run: haproxy, nginx, wrk. Where that is not possible it says so loudly;
# the tests that need them then fail or are skipped by name.
set -u
missing=
for program in haproxy nginx wrk; do
    PATH="$PATH:/usr/sbin:/usr/local/sbin" command -v "$program" >/dev/null || missing="$missing $program"
done
[ -n "$missing" ] || exit 0
echo "installing:$missing"
as_root=
[ "$(id -u)" = 0 ] || as_root=sudo
# Debian starts servers when it installs them; nothing of theirs may listen while we measure.
if $as_root apt-get update -qq && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq --no-install-recommends $missing; then
    exit 0
fi
echo "COULD NOT INSTALL:$missing (the tests that need them will fail)" >&2
