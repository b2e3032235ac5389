#!/bin/sh
# Fuzzes what reads the outside world: each target for RUNS executions.
#
#   fuzz/run.sh [RUNS] [TARGET…]       # 10000000 of each when nothing is said
#
# Needs a nightly compiler and `cargo install cargo-fuzz --locked`. What is found lies in fuzz/artifacts; the inputs that
# reached something new are kept in fuzz/corpus, so that the next run goes on from there. SANITIZER=address also looks
# for errors of memory, at a third of the speed.
set -eu
cd "$(dirname "$0")"
runs=${1:-10000000}
[ $# -gt 0 ] && shift
[ $# -gt 0 ] || set -- answer command_line scenario

for target; do
    mkdir -p "corpus/$target"
    case $target in
        # Heads may be 16 KiB long; what is of interest happens in far less.
        answer) max_len=1024 seeds=seeds/answer ;;
        command_line) max_len=256 seeds=seeds/command_line ;;
        # No comparisons are traced: the dictionary knows the words, and the rest is three times as fast.
        scenario) max_len=512 seeds="seeds/scenario ../experiments ../tests/mistakes" ;;
        *) echo "fuzz/run.sh: no target \`$target\`: expected answer, command_line or scenario" >&2; exit 2 ;;
    esac
    # shellcheck disable=SC2086  # `seeds` are several folders
    cargo +nightly fuzz run --fuzz-dir . --sanitizer "${SANITIZER:-none}" --no-trace-compares "$target" "corpus/$target" $seeds -- \
        -runs="$runs" -max_len=$max_len -timeout=10 -rss_limit_mb=2048 -dict="$target.dict" -print_final_stats=1
done
