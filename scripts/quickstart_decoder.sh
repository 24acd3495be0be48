#!/usr/bin/env bash
# The decoder's job on the corpus that ships with the project: trains a small Llama plain and joint, compares ideal
# exits, gates, K/V policies and speculation, and asks what to use with the joint one.
#
# usage: scripts/quickstart_decoder.sh [FOLDER]   the results go to FOLDER, by default runs/quickstart-decoder
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:-runs/quickstart-decoder}

step() { printf '\n== %s\n' "$1" >&2; }

step "building (the first build compiles Burn: some minutes)"
cargo build --release --workspace --locked
bin=${CARGO_TARGET_DIR:-target}/release

for objective in plain joint; do
    if [ "$objective" = joint ]; then flags=(--joint); else flags=(); fi
    step "training the $objective model"
    # An interrupted run goes on where it was; a finished one is kept.
    "$bin/ee-train" --config configs/train/numbers.toml --output "$folder/$objective" --resume "${flags[@]}" > /dev/null
done

# Answers are a few tokens long: with the usual four first tokens that never leave, little would be left to leave.
step "comparing both, live"
"$bin/ee-eval" compare --model "plain=$folder/plain/best" --model "joint=$folder/joint/best" \
    --task configs/tasks/numbers.toml --split test --min-tokens 1 --limit 300 --speed-rows 60 \
    --output "$folder/report"

step "what to use with the joint model"
"$bin/ee-eval" recommend --model "$folder/joint/best" --task configs/tasks/numbers.toml --split test \
    --min-tokens 1 --keep 0.98 --output "$folder/advice"
