#!/usr/bin/env bash
# Fetches the seven GLUE sets into data/, in the two forms that configs/tasks/ reads.
#
# Archives: their sha256 are those that Hugging Face's `datasets` published for GLUE 1.0.0.
# Parquet: the hub states the sha256 of each file in its answer; it is asked for and checked, and
# recorded in data/checksums.sha256, against which every later run checks.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: scripts/fetch_data.sh [--form hub|archive|both] [--to DIR] [TASK...]

  TASK     cola mrpc qnli qqp rte mnli sst2 (default: all)
  --form   hub: Parquet from huggingface.co/datasets/nyu-mll/glue, read by configs/tasks/TASK.toml (default)
           archive: the GLUE archive's TSV, read by configs/tasks/TASK-tsv.toml
  --to     where to put them (default: data/ of this project; elsewhere, give --data-dir DIR/glue-hub or DIR/glue)

Interrupted downloads go on where they stopped; files that are complete and sound are left alone.
Needs curl and sha256sum, for the archives also unzip.
TEXT
}

fail() {
    echo "fetch_data: $*" >&2
    exit 1
}

root="$(cd "$(dirname "$0")/.." && pwd)"
target="$root/data"
form=hub
known=(cola mrpc qnli qqp rte mnli sst2)
tasks=()
while (($#)); do
    case "$1" in
    -h | --help) usage && exit 0 ;;
    --form) form="${2:-}" && shift 2 || { usage >&2; exit 2; } ;;
    --to) target="${2:-}" && shift 2 || { usage >&2; exit 2; } ;;
    *)
        [[ " ${known[*]} " == *" $1 "* ]] || { echo "fetch_data: unknown task or option \`$1\` (tasks: ${known[*]})" >&2; exit 2; }
        tasks+=("$1") && shift
        ;;
    esac
done
[[ "$form" =~ ^(hub|archive|both)$ ]] || { echo "fetch_data: --form takes hub, archive or both, found \`$form\`" >&2; exit 2; }
[[ -n "$target" ]] || { echo "fetch_data: --to takes a folder" >&2; exit 2; }
((${#tasks[@]})) || tasks=("${known[@]}")

for tool in curl sha256sum; do
    command -v "$tool" >/dev/null || fail "needs \`$tool\`, which is not installed"
done
mkdir -p "$target"
target="$(cd "$target" && pwd)"
lock="$target/checksums.sha256"
# A moving bar is for terminals alone.
if [[ -t 2 ]]; then progress=(--progress-bar); else progress=(--no-progress-meter); fi

checksum_of() { sha256sum "$1" | cut -d' ' -f1; }

# The checksum recorded for a file below $target; nothing where none is.
recorded() { [[ -f "$lock" ]] && awk -v name="$1" '$2 == name { print $1 }' "$lock" || true; }

# check FILE SHA256 NAME: a file that is not what it should be is deleted.
check() {
    local found
    found="$(checksum_of "$1")"
    [[ "$found" == "$2" ]] && return
    rm -f "$1"
    fail "$3: expected sha256 $2, found $found; the file was deleted, run again"
}

# download URL FILE: resumes FILE.part and moves it into place only when it is whole.
download() {
    local url="$1" file="$2" status=0
    mkdir -p "$(dirname "$file")"
    echo "fetching ${file#"$target"/}"
    curl --fail --location --retry 3 --connect-timeout 20 --continue-at - "${progress[@]}" --output "$file.part" "$url" || status=$?
    case $status in
    0) mv "$file.part" "$file" ;;
    5 | 6 | 7 | 28 | 35) fail "no connection to $(cut -d/ -f3 <<<"$url") (curl error $status). Without a network put the files into $target by hand; the layout is in configs/tasks/*.toml" ;;
    22) fail "$url is refused or no longer there (curl error 22); the other form may still be: see --help" ;;
    *) fail "download of $url stopped (curl error $status); run again to go on where it stopped" ;;
    esac
}

# fetch_known URL FILE SHA256
fetch_known() {
    if [[ ! -f "$2" ]] || [[ "$(checksum_of "$2")" != "$3" ]]; then
        rm -f "$2"
        download "$1" "$2"
    fi
    check "$2" "$3" "${2#"$target"/}"
}

# The sha256 that the hub states for a large file: the quoted ETag of its storage.
stated_by_hub() {
    curl --silent --show-error --head --connect-timeout 20 --retry 2 "$1" 2>/dev/null |
        tr -d '\r' | awk 'tolower($1) == "x-linked-etag:" { gsub(/"/, "", $2); if (length($2) == 64) print $2 }' || true
}

# fetch_hub PATH
fetch_hub() {
    local url="https://huggingface.co/datasets/nyu-mll/glue/resolve/main/$1" name="glue-hub/$1"
    local file="$target/$name" expected
    expected="$(recorded "$name")"
    if [[ -f "$file" && -n "$expected" && "$(checksum_of "$file")" == "$expected" ]]; then
        return
    fi
    [[ -n "$expected" ]] || expected="$(stated_by_hub "$url")"
    rm -f "$file"
    download "$url" "$file"
    if [[ -n "$expected" ]]; then
        check "$file" "$expected" "$name"
    else
        echo "fetch_data: $name: the hub states no checksum; what came is recorded and only later runs are checked against it" >&2
    fi
    if [[ -z "$(recorded "$name")" ]]; then
        echo "$(checksum_of "$file")  $name" >>"$lock"
    fi
}

hub() {
    local splits=(train validation)
    [[ "$1" == mnli ]] && splits=(train validation_matched validation_mismatched)
    local split
    for split in "${splits[@]}"; do
        fetch_hub "$1/$split-00000-of-00001.parquet"
    done
}

# fetch_archive ARCHIVE FOLDER SHA256: unpacks the labelled files alone.
fetch_archive() {
    command -v unzip >/dev/null || fail "needs \`unzip\`, which is not installed"
    local archive="$target/glue/$1"
    fetch_known "https://dl.fbaipublicfiles.com/glue/data/$1" "$archive" "$3"
    unzip -q -o "$archive" "$2/train.tsv" "$2/dev*.tsv" -d "$target/glue"
}

# MRPC comes as its authors' file and the list of pairs that GLUE calls dev.
fetch_mrpc() {
    local folder="$target/glue/MRPC"
    fetch_known https://dl.fbaipublicfiles.com/senteval/senteval_data/msr_paraphrase_train.txt \
        "$folder/msr_paraphrase_train.txt" 60a9b09084528f0673eedee2b69cb941920f0b8cd0eeccefc464a98768457f89
    fetch_known https://dl.fbaipublicfiles.com/glue/data/mrpc_dev_ids.tsv \
        "$folder/mrpc_dev_ids.tsv" 971d7767d81b997fd9060ade0ec23c4fc31cbb226a55d1bd4a1bac474eb81dc7
    awk -F'\t' -v train="$folder/train.tsv" -v dev="$folder/dev.tsv" '
        { sub(/\r$/, "") }
        NR == FNR { is_dev[$1 FS $2]; next }
        FNR == 1 { print > train; print > dev; next }
        { print > ((($2 FS $3) in is_dev) ? dev : train) }
    ' "$folder/mrpc_dev_ids.tsv" "$folder/msr_paraphrase_train.txt"
}

archive() {
    case "$1" in
    cola) fetch_archive CoLA.zip CoLA f212fcd832b8f7b435fb991f101abf89f96b933ab400603bf198960dfc32cbff ;;
    mrpc) fetch_mrpc ;;
    qnli) fetch_archive QNLIv2.zip QNLI e634e78627a29adaecd4f955359b22bf5e70f2cbd93b493f2d624138a0c0e5f5 ;;
    qqp) fetch_archive QQP-clean.zip QQP 40e7c862c04eb26ee04b67fd900e76c45c6ba8e6d8fab4f8f1f8072a1a3fbae0 ;;
    rte) fetch_archive RTE.zip RTE 6bf86de103ecd335f3441bd43574d23fef87ecc695977a63b82d5efb206556ee ;;
    mnli) fetch_archive MNLI.zip MNLI e7c1d896d26ed6caf700110645df426cc2d8ebf02a5ab743d5a5c68ac1c83633 ;;
    sst2) fetch_archive SST-2.zip SST-2 d67e16fb55739c1b32cdce9877596db1c127dc322d93c082281f64057c16deaa ;;
    esac
}

for task in "${tasks[@]}"; do
    if [[ "$form" != archive ]]; then hub "$task"; fi
    if [[ "$form" != hub ]]; then archive "$task"; fi
done
echo "done: $target"
