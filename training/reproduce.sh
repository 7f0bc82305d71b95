#!/usr/bin/env bash
# Every stage from nothing to the end, and what has been learned judged.
#
#   training/reproduce.sh DATA OUT [--tiny] [--llm FOLDER_OR_ID]
#
# DATA holds ptbxl/ as PhysioNet ships it and ecgqa/ (or ecgqa/ptbxl/) with ECG-QA's files. OUT gets
# all that is made, at the end OUT/checkpoint and OUT/results. A stage that is complete is skipped
# and one that was stopped goes on, so give the same command again. To make one again, and all that
# comes after it, remove OUT/done/STAGE and, where it learns, OUT/STAGE. --tiny: a few steps and
# questions each, to see that it runs, without the controls, which take their time however few the
# questions; what comes out has learned nothing.
set -euo pipefail

usage() { sed -n '4s/^# *//p' "$0" >&2; exit 2; }

[[ $# -ge 2 ]] || usage
DATA=$(realpath -m -- "$1") OUT=$(realpath -m -- "$2")
shift 2
BUDGET=full LLM=()
while [[ $# -gt 0 ]]; do
    case $1 in
        --tiny) BUDGET=tiny ;;
        --llm)
            [[ $# -ge 2 ]] || usage
            LLM=(--llm "$2")
            [[ ! -d $2 ]] || LLM=(--llm "$(realpath -- "$2")")
            shift
            ;;
        *) usage ;;
    esac
    shift
done
cd "$(dirname "$0")/.."

PTBXL=$DATA/ptbxl ECGQA=$DATA/ecgqa
[[ -d $ECGQA/ptbxl ]] && ECGQA=$ECGQA/ptbxl
for file in "$PTBXL/ptbxl_database.csv" "$ECGQA/train_ecgs.tsv" "$ECGQA/train_paraphrases.csv"; do
    [[ -f $file ]] || { echo "There is no $file: DATA needs ptbxl/ and ecgqa/." >&2; exit 1; }
done
mkdir -p "$OUT/done" "$OUT/results"

CHECKPOINT=$OUT/checkpoint CACHE=(--cache "$OUT/cache")
P=(--ptbxl "$PTBXL" --ecgqa "$ECGQA")
I=(--intervals "$OUT/intervals.csv")
VALID=(--ptbxl "$PTBXL" --questions "$OUT/valid.json")
MODEL=(--checkpoint "$CHECKPOINT" "${LLM[@]}")

# What is kept must have been made by this command.
SAME="$BUDGET $DATA ${LLM[*]}"
[[ $(cat "$OUT/done/.command" 2>/dev/null || echo "$SAME") == "$SAME" ]] || {
    echo "$OUT holds a run of other data, language model or budget: give another OUT." >&2
    exit 1
}
echo "$SAME" >"$OUT/done/.command"

# full ARGUMENTS or tiny ARGUMENTS: into `more`, where this is the budget
full() { [[ $BUDGET == tiny ]] || more=("$@"); }
tiny() { [[ $BUDGET == full ]] || more=("$@"); }

# stage NAME COMMAND...: unless it is complete. What was made after it before is made again.
passed=()
stage() {
    local name=$1 later
    shift
    passed+=("$name")
    if [[ $(cat "$OUT/done/$name" 2>/dev/null) == complete ]]; then
        echo "= $name is complete"
        return
    fi
    for later in "$OUT"/done/*; do
        later=${later##*/}
        [[ $later == '*' || " ${passed[*]} " == *" $later "* ]] || {
            rm -rf "${OUT:?}/$later" "$OUT/done/$later"
        }
    done
    echo "+ $name"
    echo begun >"$OUT/done/$name"
    "$@"
    echo complete >"$OUT/done/$name"
}

run() { python -m "training.$1" "${@:2}"; }

put_together() {  # the folder that the assistant loads
    rm -rf "$CHECKPOINT.part"
    cp -r "$OUT/questions/checkpoint" "$CHECKPOINT.part"
    cp -r "$OUT/reader/reader" "$CHECKPOINT.part/"
    rm -rf "$CHECKPOINT"
    mv "$CHECKPOINT.part" "$CHECKPOINT"
}

encoder_alone() {
    run judge.evaluate_encoder "${P[@]}" "${CACHE[@]}" --encoder "$OUT/encoder" |
        tee "$OUT/results/encoder.txt"
}

# What is learned from.
stage intervals run data.intervals "${P[@]}" --out "$OUT/intervals.csv"
for split in valid test; do
    wordings=test
    [[ $split == test ]] || wordings=heldout
    full --per_template "$([[ $split == test ]] && echo 90 || echo 60)"
    tiny --per_template 2
    stage "$split-questions" run data.regenerate "${P[@]}" "${I[@]}" --split $split \
        --wordings $wordings "${more[@]}" --out "$OUT/$split.json"
done

# What is learned.
full
tiny --epochs 1 --batch 16 --steps 2
stage encoder run stages.pretrain_encoder "${P[@]}" "${I[@]}" "${CACHE[@]}" \
    --out "$OUT/encoder" "${more[@]}"
full
tiny --steps 2 --read_texts 100 --read_batch 8 --align_batch 8 --batch 4 --watch_questions 8 \
    --lora_rank 2 --reading_layers 1
stage questions run stages.train "${P[@]}" "${I[@]}" "${CACHE[@]}" --encoder "$OUT/encoder" \
    "${LLM[@]}" --out "$OUT/questions" "${more[@]}"
full --steps 4000 --batch 32 --rate 6e-4
tiny --steps 2 --batch 4
stage reader run stages.train_reader "${P[@]}" "${I[@]}" --out "$OUT/reader" "${more[@]}"
stage checkpoint put_together

# The limits, on validation ECGs; all are written into the checkpoint.
full --limit 2400 --verdicts 60
tiny --limit 12 --verdicts 4
stage calibrate run stages.calibrate "${VALID[@]}" "${CACHE[@]}" "${MODEL[@]}" "${more[@]}"
stage fit-reading run stages.fit_reading --reader "$CHECKPOINT/reader"
stage fit-plain run stages.fit_plain "${P[@]}" "${CACHE[@]}" "${MODEL[@]}"
full
tiny --limit 12 --ecgs 1
stage fit-confidence run stages.fit_confidence "${P[@]}" "${MODEL[@]}" "${more[@]}"
stage fit-findings run stages.fit_findings "${P[@]}" "${CACHE[@]}" "${MODEL[@]}"
full
tiny --limit 8
stage fit-choice run stages.fit_choice "${VALID[@]}" "${CACHE[@]}" "${MODEL[@]}" "${more[@]}"

# What has been learned.
stage encoder-alone encoder_alone
TEST=("${P[@]}" "${I[@]}" --questions "$OUT/test.json" "${CACHE[@]}" "${MODEL[@]}")
full --control true shuffled severity blind text commonest perfect perfect-severity
tiny --control true shuffled blind --limit 6
TEST+=("${more[@]}")
earlier=() few=250
for kind in query choose verify; do
    [[ $kind != verify ]] || few=750
    stage "evaluate-$kind" run judge.evaluate "${TEST[@]}" --kinds $kind --few $few \
        "${earlier[@]}" --out "$OUT/results/evaluation-$kind.json"
    earlier=(--add "$OUT/results/evaluation-$kind.json")
done
[[ $BUDGET == tiny ]] ||
    stage controls run judge.controls "${P[@]}" "${I[@]}" "${CACHE[@]}" "${MODEL[@]}" \
        --questions 300 --out "$OUT/results/controls.json"
full
tiny --ecgs 1 --only advice language
stage clinic run judge.clinic "${P[@]}" "${MODEL[@]}" "${more[@]}" --out "$OUT/results/clinic.json"
echo "The checkpoint is $CHECKPOINT, what it can do is in $OUT/results."
