#!/usr/bin/env bash
# The main job on a corpus that ships with the project: trains a small model plain and joint and compares both. An
# encoder's exits, gates and speed are reported; a decoder's also its K/V policies and speculation, and what to use
# with the joint one.
#
# usage: scripts/quickstart.sh [encoder|decoder [FOLDER]]
#        the results go to FOLDER, by default runs/quickstart or runs/quickstart-decoder
set -euo pipefail
cd "$(dirname "$0")/.."
kind=${1:-encoder}
case $kind in
encoder | decoder) ;;
*)
    echo "quickstart.sh: unknown kind '$kind', expected encoder or decoder" >&2
    exit 2
    ;;
esac
if [ "$kind" = encoder ]; then
    task=reviews folder=${2:-runs/quickstart} flags=()
else
    # Answers are a few tokens long: with the usual four first tokens that never leave, little would be left to leave.
    task=numbers folder=${2:-runs/quickstart-decoder} flags=(--min-tokens 1 --limit 300 --speed-rows 60)
fi

step() { printf '\n== %s\n' "$1" >&2; }

step "building (the first build compiles Burn: some minutes)"
cargo build --release --workspace --locked
bin=${CARGO_TARGET_DIR:-target}/release

for objective in plain joint; do
    step "training the $objective model"
    joint=()
    [ "$objective" = plain ] || joint=(--joint)
    # An interrupted run goes on where it was; a finished one is kept.
    "$bin/ee-train" --config "configs/train/$task.toml" --output "$folder/$objective" --resume "${joint[@]}" > /dev/null
done

step "comparing both"
"$bin/ee-eval" compare --model "plain=$folder/plain/best" --model "joint=$folder/joint/best" \
    --task "configs/tasks/$task.toml" --split test "${flags[@]}" --output "$folder/report"

if [ "$kind" = decoder ]; then
    step "what to use with the joint model"
    "$bin/ee-eval" recommend --model "$folder/joint/best" --task "configs/tasks/$task.toml" --split test \
        --min-tokens 1 --keep 0.98 --output "$folder/advice"
fi
