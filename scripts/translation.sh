#!/usr/bin/env bash
# The study's encoder-decoder experiment: trains a translator from scratch, plain and joint, traces both, writes its
# Table 2 and Figure 8, scores every exit with beams, and decodes under all K/V policies and in speculation.
#
# usage: scripts/translation.sh DATA [FOLDER] [RUN]
#        DATA is where the task's files lie; RUN is a run file by name (multi30k-de-en, iwslt14-de-en, wmt14-en-de), by
#        default multi30k-de-en; the results go to FOLDER, by default runs/RUN. Checkpoints that are there are kept.
set -euo pipefail
refuse() { echo "translation.sh: $1" >&2; exit 2; }
[ -d "${1:-}" ] || refuse "'${1:-}' is no folder, expected where the task's files lie"
data=$(realpath "$1")
cd "$(dirname "$0")/.."
run=${3:-multi30k-de-en}
[ -f "configs/train/$run.toml" ] || refuse "configs/train/$run.toml is not there"
folder=${2:-runs/$run}
task=configs/tasks/$(sed -n 's|^file = "../tasks/\(.*\)"|\1|p' "configs/train/$run.toml")

step() { printf '\n== %s\n' "$1" >&2; }

step "building (the first build compiles Burn: some minutes)"
cargo build --release --workspace --locked
bin=${CARGO_TARGET_DIR:-target}/release
of_task=(--task "$task" --data-dir "$data")

for objective in plain joint; do
    step "training the $objective model"
    joint=()
    [ "$objective" = plain ] || joint=(--joint)
    # An interrupted run goes on where it was; a finished one is kept.
    "$bin/ee-train" --config "configs/train/$run.toml" --data-dir "$data" --output "$folder/$objective" --resume \
        "${joint[@]}" > /dev/null
done

step "Table 2 and Figure 8: $folder/report"
"$bin/ee-eval" compare --model "plain=$folder/plain/best" --model "joint=$folder/joint/best" "${of_task[@]}" \
    --min-tokens 1 --speed-rows 100 --output "$folder/report"

for objective in plain joint; do
    model=(--model "$folder/$objective/best")
    exits=$(sed -n 's/.*"decoder_layers": *\([0-9]*\).*/\1/p' "$folder/$objective/best/config.json")
    gates=()
    for ((exit = 1; exit < exits; exit++)); do gates+=(--gate "fixed:$exit"); done
    step "every exit of the $objective model with beams: $folder/$objective-beams"
    "$bin/ee-eval" decode "${model[@]}" "${of_task[@]}" --beam 5 --batch 16 --rounds 1 --show 0 "${gates[@]}" \
        --output "$folder/$objective-beams"
    step "the $objective model under all policies: $folder/$objective-policies"
    "$bin/ee-eval" decode "${model[@]}" "${of_task[@]}" --limit 200 --min-tokens 1 --show 0 --gate ideal \
        --gate confidence:0.9 --kv recompute --kv copy --kv deferred --output "$folder/$objective-policies"
    step "the $objective model in speculation: $folder/$objective-speculation"
    "$bin/ee-eval" speculate "${model[@]}" "${of_task[@]}" --limit 200 --adaptive \
        --output "$folder/$objective-speculation" > /dev/null
done

step "what to use with the joint model: $folder/advice"
"$bin/ee-eval" recommend --model "$folder/joint/best" "${of_task[@]}" --min-tokens 1 --keep 0.98 --output "$folder/advice"
