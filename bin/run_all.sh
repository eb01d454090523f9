#!/usr/bin/env bash
# Run every stage, from nothing to submissions/submission.csv and report.html; a stage skips what is cached.
#   bash bin/run_all.sh [--input DIR] [--folds DIR] [--submissions DIR] [--engine NAME]
#                       [--recipe NAME|FILE] [--any-value-of-the-recipe VALUE ...] [--show-recipe]
source "$(dirname -- "${BASH_SOURCE[0]}")/env.sh"

export SEVERSTAL_LAUNCHER=$$  # a stage ends with this script, also when this is killed
folders=() engine=() recipe=() steel=() show=0
while [ $# -gt 0 ]; do
  case "$1" in
    -h | --help) sed -n '2,4s/^# *//p' "${BASH_SOURCE[0]}"; exec bash "$ROOT"/bin/make_folds.sh --help ;;
    --show-recipe) show=1; shift ;;
    --input=* | --folds=* | --submissions=*) folders+=("$1"); shift ;;
    --engine=*) engine=(--engine "${1#*=}"); shift ;;
    --input | --folds | --submissions | --engine)
      case "${2---}" in --*) echo "error: $1 takes a value, as in $1=VALUE" >&2; exit 2 ;; esac
      if [ "$1" = --engine ]; then engine=("$1" "$2"); else folders+=("$1=$2"); fi
      shift 2 ;;
    --recipe=* | --synthetic-*=*) recipe+=("$1") steel+=("$1"); shift ;;
    --recipe | --synthetic-*)
      case "${2---}" in --*) echo "error: $1 takes a value, as in $1=VALUE" >&2; exit 2 ;; esac
      recipe+=("$1" "$2") steel+=("$1" "$2"); shift 2 ;;
    *) recipe+=("$1"); shift ;;
  esac
done

if [ "$show" = 1 ]; then exec bash "$ROOT"/bin/make_folds.sh "${folders[@]}" "${recipe[@]}" --show-recipe; fi
# What is wrong shall not be found after hours of training: all is checked before anything is written.
bash "$ROOT"/bin/make_folds.sh "${folders[@]}" "${recipe[@]}" --show-recipe > /dev/null
bash "$ROOT"/bin/check_run.sh "${folders[@]}" "${engine[@]}"
bash "$ROOT"/bin/make_input.sh "${folders[@]}" "${steel[@]}"
bash "$ROOT"/bin/make_folds.sh "${folders[@]}" "${recipe[@]}"
bash "$ROOT"/bin/train.sh "${folders[@]}"
bash "$ROOT"/bin/tune.sh "${folders[@]}"
bash "$ROOT"/bin/export.sh "${folders[@]}" "${engine[@]}"
bash "$ROOT"/bin/predict.sh "${folders[@]}" "${engine[@]}"
bash "$ROOT"/bin/report.sh "${folders[@]}"
