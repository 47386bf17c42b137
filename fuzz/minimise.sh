#!/usr/bin/env bash
# Leaves in fuzz/corpus the inputs that reach what the seeds do not: minimise.sh SEEDS_DIRECTORY TARGET...
set -euo pipefail
cd "$(dirname "$0")"
seeds=$(realpath "../$1")
shift
for target in "$@"; do
    binary=$(ls -t target/*-*/release/"$target" | head -1)
    merged=$(mktemp -d)
    # libFuzzer keeps what is in the first folder and adds what reaches more: other places, not the same ones more often.
    if [ -d "$seeds/$target" ]; then cp "$seeds/$target"/* "$merged"; fi
    "$binary" -merge=1 -use_counters=0 "$merged" "corpus/$target" 2> /dev/null
    rm -rf "corpus/$target"
    mkdir "corpus/$target"
    # Those that it adds are called by their hash, the seeds by a number.
    find "$merged" -regextype posix-extended -regex '.*/[0-9a-f]{40}' -exec mv -t "corpus/$target" {} +
    rm -rf "$merged"
    echo "$target: $(find "corpus/$target" -type f | wc -l) inputs, $(du -bs "corpus/$target" | cut -f1) bytes"
done
