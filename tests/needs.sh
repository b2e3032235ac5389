#!/bin/sh
# Installs the real programs that tests and experiments run. Where that is not possible it says so loudly; the tests that
# need them then fail or are skipped by name. (oha is no Debian package: its cells are skipped unless the user has it.)
set -u
missing=
need() {
    PATH="$PATH:/usr/sbin:/usr/local/sbin" command -v "$1" >/dev/null || case " $missing " in *" $2 "*) ;; *) missing="$missing $2" ;; esac
}
need haproxy haproxy
need nginx nginx
need openssl openssl
need wrk wrk
need ab apache2-utils
need hey hey
need h2load nghttp2-client
need httperf httperf
need tc iproute2
need nft nftables
need dockerd docker.io
need busybox busybox-static
need gpg gnupg
need redis-server redis-server
need strace strace
need valgrind valgrind
need promtool prometheus
need tor tor
need tor-gencert tor
need node nodejs
need chromium chromium
need npm npm
need slurmd slurm-wlm
need sbatch slurm-wlm
need parallel parallel
need sshd openssh-server
need ssh openssh-client
/usr/bin/python3 -c "import ensurepip" 2>/dev/null || missing="$missing python3 python3-venv"
[ -n "$missing" ] || exit 0
echo "installing:$missing"
as_root=
[ "$(id -u)" = 0 ] || as_root=sudo
# Debian starts servers when it installs them; nothing of theirs may listen while we measure.
if $as_root apt-get update -qq && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq --no-install-recommends $missing; then
    exit 0
fi
echo "COULD NOT INSTALL:$missing (the tests that need them will fail)" >&2
