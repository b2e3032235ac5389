#!/bin/sh
# Makes the identities of a private Tor network, once: if you keep the directory, the fingerprints are the same in every run.
#
#   keys.sh DIRECTORY AUTHORITIES EXITS OR-PORT DIR-PORT
#
# authority1 …, exit1 … and onion are made below DIRECTORY, each an initial DataDirectory. Copy them (`cp -Rp`)
# to where tor may write, with their modes: tor refuses directories that others can read. Beside them are
#
#   authorities    for `%include`: the lines by which all nodes know the authorities; number n is found at the ports OR-PORT + n and
#                  DIR-PORT + n of 127.0.0.1
#   names          for `%include`: a client with this line finds the onion service as service.test, because its address
#                  cannot be known in advance
#   fingerprints   a line `NAME FINGERPRINT` for each relay, in the form for `EntryNodes` and `EXTENDCIRCUIT`
#
# The certificates of the authorities expire in two years. The keys are useless to others: no other Tor network knows them.
set -eu
# Debian installs tor in a directory that is only in the administrator's path.
PATH=$PATH:/usr/sbin:/usr/local/sbin
umask 077
directory=$1 authorities=$2 exits=$3 or=$4 dir=$5

mkdir -p "$directory"
cd "$directory"
: >nothing
: >authorities
: >fingerprints

# Tor will not talk to anybody, but refuses an address such as ours unless it knows authorities.
nobody=0000000000000000000000000000000000000001
cat >torrc <<END
TestingTorNetwork 1
Address 127.0.0.1
DirAuthority none orport=1 v3ident=$nobody 127.0.0.1:1 $nobody
END

# The fingerprint of a relay; its keys are made at the same time.
fingerprint() {
    tor --list-fingerprint -f torrc --defaults-torrc nothing --quiet --DataDirectory "$1" --Nickname "$1" --ORPort 127.0.0.1:1 >/dev/null
    # The file says `NAME FINGERPRINT`.
    cut -d ' ' -f 2 "$1/fingerprint"
}

n=1
while [ "$n" -le "$authorities" ]; do
    name=authority$n
    mkdir -p "$name/keys"
    # The identity key has an empty passphrase, and is no longer needed after it has signed.
    echo | tor-gencert --create-identity-key --passphrase-fd 0 -m 24 -a "127.0.0.1:$((dir + n))" \
        -i identity -s "$name/keys/authority_signing_key" -c "$name/keys/authority_certificate"
    rm identity
    v3=$(sed -n 's/^fingerprint //p' "$name/keys/authority_certificate")
    relay=$(fingerprint "$name")
    echo "DirAuthority $name orport=$((or + n)) no-v2 v3ident=$v3 127.0.0.1:$((dir + n)) $relay" >>authorities
    echo "$name $relay" >>fingerprints
    n=$((n + 1))
done

n=1
while [ "$n" -le "$exits" ]; do
    mkdir -p "exit$n"
    echo "exit$n $(fingerprint "exit$n")" >>fingerprints
    n=$((n + 1))
done

# The keys of an onion service are made by a running tor, without a network.
mkdir -p onion/service
tor -f torrc --defaults-torrc nothing --quiet --DisableNetwork 1 --SocksPort 0 --DataDirectory onion \
    --HiddenServiceDir onion/service --HiddenServicePort 80 &
pid=$!
tries=0
until [ -s onion/service/hostname ] || [ "$tries" -ge 20 ] || ! kill -0 "$pid"; do
    sleep 1
    tries=$((tries + 1))
done
kill "$pid"
wait "$pid" || :
echo "MapAddress service.test $(cat onion/service/hostname)" >names
rm torrc nothing
