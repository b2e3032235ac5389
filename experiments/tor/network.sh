#!/bin/sh
# A whole Tor network as one target: three authorities, EXITS exits, an onion service and a client, started in this order, each when the
# earlier ones are ready. Ends all of them when told to end.
#
#   network.sh DIR EXITS OR-PORT DIR-PORT [CLIENT-OPTION…]
#
# DIR contains the files made from the templates beside this script (`defaults.torrc`, `authority.torrc`, `exit.torrc`, `onion.torrc`, `client.torrc`)
# and in `tor` the files made by `keys.sh`. The others know authority n at OR-PORT + n and DIR-PORT + n, and exit n at OR-PORT + 10 + n. The relays listen
# at OR-PORT + 30 + n and OR-PORT + 40 + n: the caller runs a forwarder from each of the first to each of the second, which delays
# everything. A line `NAME OPTION…` in DIR/tor/options adds options to a node. Further arguments go to the client: its ports, for
# example. `experiments/torperf.yaml` has the same nodes as separate targets.
set -u
# Debian installs tor in a directory that is only in the administrator's path.
PATH=$PATH:/usr/sbin:/usr/local/sbin
dir=$1 exits=$2 or=$3 dirport=$4
shift 4
children=
finish() {
    trap '' TERM INT
    # shellcheck disable=SC2086 # a list of numbers
    [ -z "$children" ] || kill -TERM $children 2>/dev/null
    wait
    exit "${1:-0}"
}
trap 'finish 0' TERM INT
start() {
    file=$1 name=$2
    shift 2
    # shellcheck disable=SC2046 # a list of words
    [ ! -e "$dir/tor/options" ] || set -- "$@" $(sed -n "s/^$name //p" "$dir/tor/options")
    tor -f "$dir/$file.torrc" --defaults-torrc "$dir/defaults.torrc" --quiet --DataDirectory "$dir/tor/$name" "$@" >"$dir/$name.log" 2>&1 &
    children="$children $!"
}
# Whether all nodes run; without one of them it is a different network.
alive() {
    for child in $children; do
        if ! kill -0 "$child" 2>/dev/null; then
            echo "a node of the network has ended" >&2
            tail -n 3 "$dir"/*.log >&2
            return 1
        fi
    done
}
# Waits for a command to succeed.
until_so() {
    left=600
    until "$@"; do
        alive || finish 1
        left=$((left - 1))
        if [ $left = 0 ]; then
            echo "the network was not ready in two minutes" >&2
            tail -n 3 "$dir"/*.log >&2
            finish 1
        fi
        sleep 0.2 &
        wait $!
    done
}
# Each relay knows all others, which of them are exits, and their descriptors: see torperf.yaml.
knows_all() {
    for node in "$dir"/tor/authority* "$dir"/tor/exit*; do
        [ "$(grep -c '^r ' "$node/cached-microdesc-consensus" 2>/dev/null)" -ge $((3 + exits)) ] &&
            [ "$(grep -c '^s .*Exit' "$node/cached-microdesc-consensus" 2>/dev/null)" -ge "$exits" ] &&
            [ "$(cat "$node"/cached-microdescs* 2>/dev/null | grep -c '^onion-key')" -ge $((3 + exits)) ] || return 1
    done 2>/dev/null
}
# Relays beyond two exits start before all others: Tor uses only stable relays as guards, and calls a relay stable if it has existed for
# longer than half of the relays.
n=$exits
while [ $n -gt 0 ]; do
    if [ $n = 2 ]; then
        [ "$exits" = 2 ] || {
            sleep 3 &
            wait $!
        }
        for m in 1 2 3; do
            start authority authority$m --Nickname authority$m --ORPort "127.0.0.1:$((or + m)) NoListen" \
                --+ORPort "127.0.0.1:$((or + 30 + m)) NoAdvertise" --DirPort "127.0.0.1:$((dirport + m))"
        done
    fi
    start exit exit$n --Nickname exit$n --ORPort "127.0.0.1:$((or + 10 + n)) NoListen" \
        --+ORPort "127.0.0.1:$((or + 40 + n)) NoAdvertise"
    n=$((n - 1))
done
until_so knows_all
start onion onion
start client client "$@"
until_so grep -q 'Bootstrapped 100%' "$dir/client.log"
until_so grep -q 'Uploading hidden service descriptor. finished with status 200' "$dir/onion.log"
echo "the network is ready"
while alive; do
    sleep 0.5 &
    wait $!
done
finish 1
