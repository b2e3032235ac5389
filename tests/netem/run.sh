#!/bin/bash
# Runs a command in a small virtual machine whose kernel has the real `tc netem`: Debian's stock kernel, where the
# machine at hand has a minimal one. The guest sees this machine's files as they are; what it writes is forgotten.
#
#   tests/netem/run.sh COMMAND [ARGUMENT…]
#
# Prints what the command printed (standard output and error together) and returns its exit code; 124 when it took longer
# than RUNNER_NETEM_TIMEOUT seconds (300), 125 when the guest did not start. Programs are about 20 times slower inside.
# Needs Debian or Ubuntu on x86-64 and, where QEMU or busybox is missing, the right to install it. Kernel and initrd are
# kept in ${XDG_CACHE_HOME:-$HOME/.cache}/runner/netem; remove that folder for a newer kernel.
set -euo pipefail

if [ $# -eq 0 ]; then
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
    exit 125
fi
say() { echo "run.sh: $*" >&2; }
die() { say "$@"; exit 125; }

cache=${XDG_CACHE_HOME:-$HOME/.cache}/runner/netem
timeout=${RUNNER_NETEM_TIMEOUT:-300}
export PATH=$PATH:/usr/sbin:/sbin

# --- programs
missing=()
[ -x "$(command -v qemu-system-x86_64)" ] || missing+=(qemu-system-x86)
[ -x "$(command -v depmod)" ] || missing+=(kmod)
# Inside the initrd nothing can be loaded: a busybox that needs a library is no use.
busybox=$(command -v busybox || true)
[ -n "$busybox" ] && ! ldd "$busybox" >/dev/null 2>&1 || missing+=(busybox-static)
if [ ${#missing[@]} -gt 0 ]; then
    say "installing ${missing[*]}"
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}"; } \
        >&2 || die "cannot install ${missing[*]}; install it by hand"
    busybox=$(command -v busybox)
fi

# --- kernel and initrd, once; several at a time wait for the first
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
# What is below decides what is in the initrd.
initrd=$cache/initrd-$(sha256sum <"$0" | cut -c 1-12)
if [ ! -e "$initrd" ]; then
    build=$(mktemp -d "$cache/build.XXXXXX")
    trap 'rm -rf "$build"' EXIT
    package() { apt-cache depends linux-image-amd64 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-.*\)/\1/p' | head -n 1; }
    name=$(package)
    if [ -z "$name" ]; then
        apt-get update -qq >&2 || true
        name=$(package)
    fi
    [ -n "$name" ] || die "no package linux-image-amd64 is known here"
    say "fetching $name"
    # apt drops its privileges for the download, and may not enter root's folders.
    chmod 755 "$build"
    (cd "$build" && apt-get -o APT::Sandbox::User=root download -qq "$name") >&2 || die "cannot download $name"
    dpkg-deb -x "$build"/linux-image-*.deb "$build/kernel"
    version=$(basename "$build"/kernel/lib/modules/*)
    depmod -b "$build/kernel" "$version"
    root=$build/root
    mkdir -p "$root"/{bin,dev,proc,sys,modules,lower,upper,new}
    cp "$busybox" "$root/bin/busybox"
    number=1000
    for module in virtio_pci 9p 9pnet_virtio overlay sch_netem sch_tbf sch_htb sch_prio sch_ingress sch_fq ifb cls_u32 \
        act_mirred veth bridge virtio_net nfnetlink_queue nft_queue nft_compat xt_NFQUEUE iptable_mangle nf_tables; do
        # In the order in which they need each other; what is built in needs nothing.
        modprobe -d "$build/kernel" -S "$version" --show-depends "$module" 2>/dev/null | sed -n 's/^insmod \([^ ]*\).*/\1/p'
    done | awk '!seen[$0]++' | while read -r file; do
        number=$((number + 1))
        cp "$file" "$root/modules/$number-$(basename "$file")"
    done
    cat >"$root/init" <<'INIT'
#!/bin/busybox sh
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t sysfs sys /sys
$b mount -t devtmpfs dev /dev
# Some are for processors other than this one, and say so.
for module in /modules/*; do $b insmod "$module" 2>/dev/null; done
folder() { $b mount -t 9p -o "trans=virtio,version=9p2000.L,cache=loose,msize=262144,$3" "$1" "$2" || $b echo "cannot mount $1"; }
folder hostroot /lower ro
$b mount -t tmpfs tmp /upper
$b mkdir /upper/up /upper/work
$b mount -t overlay -o lowerdir=/lower,upperdir=/upper/up,workdir=/upper/work over /new
for point in proc sys dev; do $b mount --move /$point /new/$point; done
$b mount -t tmpfs tmp /new/run
$b mkdir -p /new/mnt /new/run/guest
folder share /new/mnt rw
$b ip link set lo up
$b chroot /new /bin/bash /mnt/run.sh
$b sync
$b poweroff -f
INIT
    chmod +x "$root/init"
    cp "$build"/kernel/boot/vmlinuz-* "$cache/kernel"
    (cd "$root" && find . | "$busybox" cpio -o -H newc | gzip -1) >"$build/initrd"
    rm -f "$cache"/initrd*
    mv "$build/initrd" "$initrd"
    rm -rf "$build"
    trap - EXIT
fi
flock -u 9

# --- one boot
share=$(mktemp -d)
qemu=
trap '[ -z "$qemu" ] || { kill "$qemu"; wait "$qemu"; } 2>/dev/null || true; rm -rf "$share"' EXIT
printf -v command '%q ' "$@"
printf -v folder '%q' "$PWD"
cat >"$share/run.sh" <<EOG
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
mount -t devpts devpts /dev/pts 2>/dev/null || { mkdir -p /dev/pts && mount -t devpts devpts /dev/pts; }
mkdir -p /dev/shm && mount -t tmpfs shm /dev/shm
cd $folder 2>/dev/null || cd /
touch /mnt/started
$command >/mnt/output 2>&1 </dev/null
echo \$? >/mnt/code
EOG
qemu-system-x86_64 -accel tcg -cpu qemu64 -m 512 -smp 1 -nodefaults -no-reboot -display none -serial "file:$share/console" \
    -kernel "$cache/kernel" -initrd "$initrd" -append "console=ttyS0 quiet panic=-1" \
    -virtfs local,path=/,mount_tag=hostroot,security_model=none,readonly=on,multidevs=remap \
    -virtfs "local,path=$share,mount_tag=share,security_model=none" >"$share/qemu" 2>&1 </dev/null 9>&- &
qemu=$!
deadline=$((SECONDS + timeout))
while kill -0 "$qemu" 2>/dev/null && [ "$SECONDS" -lt "$deadline" ]; do sleep 0.2; done
if kill -0 "$qemu" 2>/dev/null; then
    [ ! -e "$share/output" ] || cat "$share/output"
    say "not done after $timeout s"
    [ -e "$share/started" ] || { cat "$share/console" >&2; die "the guest did not start"; }
    exit 124
fi
wait "$qemu" || true
qemu=
[ ! -e "$share/output" ] || cat "$share/output"
[ -e "$share/code" ] || { cat "$share/qemu" "$share/console" >&2; die "the guest ended without a result"; }
exit "$(cat "$share/code")"
