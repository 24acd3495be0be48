#!/usr/bin/env bash
# Checks a build with an accelerator against the CPU on the corpora that ship with the project, then times it.
#
# usage: scripts/gpu_check.sh [FOLDER] [DEVICE]
#   FOLDER holds ee-train and ee-eval (by default target/release), DEVICE is cuda:0 unless named.
#   RUN names a program that starts them, where they need one. Results go to $OUT, by default a new folder.
#
# Each check prints one line; a check that fails does not stop the others, and ends the script with 1.
set -uo pipefail
cd "$(dirname "$0")/.."
programs=${1:-target/release} device=${2:-cuda:0} out=${OUT:-$(mktemp -d)} failures=0
work=$(mktemp -d)

ee() { local name=$1; shift; ${RUN:-} "$programs/$name" "$@"; }
check() {
    local name=$1 started=$SECONDS; shift
    if "$@" > "$work/log" 2>&1; then
        printf 'ok    %s (%s s): %s\n' "$name" $((SECONDS - started)) "$(tail -n 1 "$work/log")"
    else
        printf 'FAILS %s (%s s)\n' "$name" $((SECONDS - started)); tail -n 15 "$work/log"; failures=$((failures + 1))
    fi
    { echo "== $name"; cat "$work/log"; } >> "$out/gpu_check.log"
}
train() { # KIND DEVICE FLAGS...
    local kind=$1 on=$2; shift 2
    rm -rf "$work/$kind-$on"
    ee ee-train --config "configs/train/$kind.toml" --device "$on" --output "$work/$kind-$on" \
        --set training.max_steps=30 --set training.sample_tokens=0 "$@"
}
both() { # KIND FLAGS...: the same steps on both devices, compared
    train "$1" cpu "${@:2}" && train "$1" "$device" "${@:2}" &&
        python3 scripts/compare_devices.py losses "$work/$1-cpu/log.jsonl" "$work/$1-$device/log.jsonl"
}
trace() { # KIND MODEL
    for on in cpu "$device"; do
        ee ee-eval trace --model "$2" --task "configs/tasks/$1.toml" --limit 64 --device "$on" \
            --output "$work/$1-$on.parquet" || return 1
    done
    python3 scripts/compare_devices.py signals "$work/$1-cpu.parquet" "$work/$1-$device.parquet"
}

command -v nvidia-smi > /dev/null && nvidia-smi --query-gpu=name,driver_version --format=csv,noheader
check "train a classifier, joint" both reviews --joint
check "train a decoder, joint" both numbers --joint
check "train a decoder, plain, bf16" train numbers "$device" --set precision=bf16
reviews="$work/reviews-cpu/last" numbers="$work/numbers-cpu/last"
check "trace a classifier" trace reviews "$reviews"
check "trace a decoder" trace numbers "$numbers"
task=(--task configs/tasks/numbers.toml --limit 8 --device "$device")
check "generate" ee ee-eval generate --model "$numbers" --prompt "in German: four" --max-new-tokens 8 --device "$device"
check "decode with exits" ee ee-eval decode --model "$numbers" "${task[@]}" --gate confidence:0.9 \
    --kv recompute --kv copy --kv deferred --head full --head pruned:8 --min-tokens 1 --show 0
check "speculate" ee ee-eval speculate --model "$numbers" "${task[@]}" --draft-exit 2 --draft-length 3
check "speed of a gate" ee ee-eval speed --model "$reviews" --task configs/tasks/reviews.toml --limit 64 \
    --gate ideal --gate confidence:0.9 --batch 8 --device "$device"
for bench in "ee-eval encoder-trace" "ee-train encoder-train" "ee-train encoder-train --joint" \
    "ee-eval decoder-trace" "ee-train decoder-train" "ee-train decoder-train --joint" "ee-eval decode" \
    "ee-eval decode --weights f16" "ee-eval decode --weights bf16"; do
    read -r program verb flags <<< "$bench"
    # shellcheck disable=SC2086 # flags are words
    check "bench $verb $flags" ee "$program" bench "$verb" $flags --device "$device"
done
echo "$failures checks failed; everything printed is in $out/gpu_check.log"
[ "$failures" -eq 0 ]
