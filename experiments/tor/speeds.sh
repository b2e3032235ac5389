#!/bin/sh
# Makes relays of a private network different, before it is started: how much each may forward, and its measured bandwidth.
#
#   speeds.sh DIRECTORY
#
# DIRECTORY is what `keys.sh` made. Two files are made there: `options`, which `network.sh` reads, and `bandwidths`, from which the authorities
# derive the weight of each relay in the consensus, like those of the real network (`V3BandwidthsFile`). Authorities themselves have none. Of five
# exits the last three become relays that are not exits.
set -eu
directory=$1
cat >"$directory/options" <<END
authority1 --V3BandwidthsFile $directory/bandwidths
authority2 --V3BandwidthsFile $directory/bandwidths
authority3 --V3BandwidthsFile $directory/bandwidths
exit3 --ExitRelay 0 --BandwidthRate 100MBytes --BandwidthBurst 100MBytes
exit4 --ExitRelay 0 --BandwidthRate 20MBytes --BandwidthBurst 20MBytes
exit5 --ExitRelay 0 --BandwidthRate 512KBytes --BandwidthBurst 512KBytes
END
# Kilobytes per second. The value of the slow one keeps it out of the middle of most circuits; below 100 it would not count as fast, which
# every guard must be.
date +%s >"$directory/bandwidths"
while read -r name fingerprint; do
    case $name in
        exit3) weight=10000 ;;
        exit4) weight=20000 ;;
        exit5) weight=200 ;;
        *) weight=30000 ;;
    esac
    echo "node_id=\$$fingerprint bw=$weight nick=$name" >>"$directory/bandwidths"
done <"$directory/fingerprints"
