#!/bin/sh
# Chooses the guard of the client of a private network by what descriptors and the consensus say of relays, and writes it where the client
# reads it when it is told to (`SIGNAL RELOAD`).
#
#   guard.sh DIRECTORY fast|slow|overrated|underrated|fixed|dropped|none
#
# DIRECTORY is what `keys.sh` made and `network.sh` runs. Exits are left out, since a circuit needs one at its end, and
# authorities, which have no weight. In the real network one would take the first three of the list in place of one.
set -eu
directory=$1 how=$2
# The client reads it; beside this it says where the onion service is.
names=$directory/names
grep '^MapAddress' "$names" >"$names.new"

# Relays that the client takes as guards, as lines `FINGERPRINT NICKNAME SPEED RATIO`: kilobytes per second that the descriptor promises, and by how much
# the weight in the consensus is larger.
relays() {
    cat "$directory/fingerprints" "$directory"/authority1/cached-descriptors* "$directory/client/cached-microdesc-consensus" | awk '
        NF == 2 && length($2) == 40 { fingerprint[$1] = $2 }
        # The newest descriptor of a relay is the last one.
        $1 == "router" { relay = $2; exits[relay] = 0 }
        # The flag is of no use for that: in a private network every relay has it.
        $1 == "accept" { exits[relay] = 1 }
        $1 == "bandwidth" { rate[relay] = ($2 < $3 ? $2 : $3) / 1000 }
        $1 == "r" { relay = $2 }
        $1 == "s" { is_guard = / Guard/ && / Fast/ && / Stable/ && ! / Authority/ && ! exits[relay] }
        $1 == "w" && is_guard && rate[relay] > 0 {
            split($2, weight, "=")
            print fingerprint[relay], relay, rate[relay], weight[2] / rate[relay]
        }
    '
}
# All three that `speeds.sh` made must be among them; the client has another consensus every few seconds.
tries=0
case $how in
    fast | slow | overrated | underrated)
        until [ "$(relays | wc -l)" -ge 3 ] || [ $tries -ge 60 ]; do
            sleep 1
            tries=$((tries + 1))
        done
        ;;
esac
case $how in
    fast) chosen=$(relays | sort -k 3,3nr | head -n 1) ;;
    slow) chosen=$(relays | sort -k 3,3n | head -n 1) ;;
    overrated) chosen=$(relays | sort -k 4,4nr | head -n 1) ;;
    underrated) chosen=$(relays | sort -k 4,4n | head -n 1) ;;
    none)
        chosen=none
        echo "UseEntryGuards 0" >>"$names.new"
        ;;
    *) chosen=tor ;;
esac
echo "$how: $chosen"
case $chosen in
    '')
        echo "no relay may be a guard" >&2
        exit 1
        ;;
    *' '*) printf 'EntryNodes $%s\nStrictNodes 1\n' "${chosen%% *}" >>"$names.new" ;;
esac
mv "$names.new" "$names"
