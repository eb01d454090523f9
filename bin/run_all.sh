#!/usr/bin/env bash
# Everything, in order, from nothing to submissions/submission.csv and report.html; what is up to date is skipped.
#   bash bin/run_all.sh [--input DIR] [--folds DIR] [--submissions DIR] [--engine NAME]
#                       [--recipe sample|cpu-quick|cpu|kaggle] [--any-value-of-the-recipe VALUE ...]
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"

folders=() engine=() recipe=()
while [ $# -gt 0 ]; do
  case "$1" in
    -h | --help) sed -n '2,4s/^# *//p' "${BASH_SOURCE[0]}"; exec bash "$ROOT"/bin/make_folds.sh --help ;;
    --input | --folds | --submissions) folders+=("$1" "${2:?error: $1 takes a folder}"); shift 2 ;;
    --engine) engine+=("$1" "${2:?error: $1 takes a name}"); shift 2 ;;
    *) recipe+=("$1"); shift ;;
  esac
done

bash "$ROOT"/bin/make_input.sh "${folders[@]}"
bash "$ROOT"/bin/make_folds.sh "${folders[@]}" "${recipe[@]}"
bash "$ROOT"/bin/train.sh "${folders[@]}"
bash "$ROOT"/bin/tune.sh "${folders[@]}"
bash "$ROOT"/bin/export.sh "${folders[@]}" "${engine[@]}"
bash "$ROOT"/bin/predict.sh "${folders[@]}" "${engine[@]}"
bash "$ROOT"/bin/report.sh "${folders[@]}"
