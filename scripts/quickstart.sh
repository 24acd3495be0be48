#!/usr/bin/env bash
# The main job on the corpus that ships with the project: trains a small encoder plain and joint, traces
# both, finds the gates, measures the speed, writes the report and prints its headline table.
#
# usage: scripts/quickstart.sh [FOLDER]   the results go to FOLDER, by default runs/quickstart
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:-runs/quickstart}

step() { printf '\n== %s\n' "$1" >&2; }

step "building (the first build compiles Burn: some minutes)"
cargo build --release --workspace --locked
bin=${CARGO_TARGET_DIR:-target}/release

for objective in plain joint; do
    if [ "$objective" = joint ]; then flags=(--joint); else flags=(); fi
    step "training the $objective model"
    # An interrupted run goes on where it was; a finished one is kept.
    "$bin/ee-train" --config configs/train/reviews.toml --output "$folder/$objective" --resume "${flags[@]}" > /dev/null
done

step "comparing both, exit by exit"
"$bin/ee-eval" compare --model "plain=$folder/plain/best" --model "joint=$folder/joint/best" \
    --task configs/tasks/reviews.toml --split test --output "$folder/report"
