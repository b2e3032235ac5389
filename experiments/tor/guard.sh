#!/bin/sh
# Chooses the guard of the client of a private network from descriptors and the consensus, and writes it to where the client reads it
# on `SIGNAL RELOAD`.
#
#   guard.sh DIRECTORY fast|slow|overrated|underrated|fixed|dropped|none
#
# DIRECTORY is what `keys.sh` made and `network.sh` runs. Exits are left out, because a circuit needs one at its end, and so are
# authorities, which have no weight. In the real network one would take the first three of the list instead of one.
set -eu
directory=$1 how=$2
# The client reads it; the file also says where the onion service is.
names=$directory/names
grep '^MapAddress' "$names" >"$names.new"

# Possible guards of the client, as lines `FINGERPRINT NICKNAME SPEED RATIO`: kilobytes per second that the descriptor claims, and the ratio
# of the weight in the consensus to that.
relays() {
    cat "$directory/fingerprints" "$directory"/authority1/cached-descriptors* "$directory/client/cached-microdesc-consensus" | awk '
        NF == 2 && length($2) == 40 { fingerprint[$1] = $2 }
        # The newest descriptor of a relay is the last one.
        $1 == "router" { relay = $2; exits[relay] = 0 }
        # The flag does not help here: in a private network every relay has it.
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
# All three that `speeds.sh` made must be among them; the client gets a new consensus every few seconds.
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
