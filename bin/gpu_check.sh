#!/usr/bin/env bash
# Everything that only an NVIDIA GPU can show, in one call: tests on the GPU, mixed-precision training, engines built in
# every precision, parity, Dice, throughput. Works in a folder of its own; the numbers go to the README's table.
#   bash bin/gpu_check.sh [FOLDER]       default: a temporary one
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
if ! nvidia-smi -L; then
  echo "error: no NVIDIA GPU: the driver reports none" >&2
  exit 2
fi
work="${1:-$(mktemp -d)}"
where=(--input "$work/input" --folds "$work/folds" --submissions "$work/submissions")
network=resnet34

bash "$ROOT/bin/setup.sh" --dev
"$PYTHON" -m pytest -q -m gpu "$ROOT/tests"
[ -e "$work/input/train.csv" ] || bash "$ROOT/bin/make_input.sh" --input "$work/input"
bash "$ROOT/bin/make_folds.sh" "${where[@]}" --recipe kaggle --encoders "$network" --folds-count 2 --weights none \
  --epochs 4 --samples-per-epoch 2048
bash "$ROOT/bin/train.sh" "${where[@]}"
bash "$ROOT/bin/tune.sh" "${where[@]}"
engines=torch,torch-fp16
for engine in torch torch-fp16; do bash "$ROOT/bin/export.sh" "$network" 0 "${where[@]}" --engine "$engine"; done
if "$PYTHON" -c 'import tensorrt' 2>/dev/null || "$PYTHON" -c 'import tensorrt_rtx' 2>/dev/null; then
  engines+=,tensorrt
  for precision in fp32 int8 fp16; do
    SEVERSTAL_TENSORRT_PRECISION=$precision bash "$ROOT/bin/export.sh" "$network" 0 "${where[@]}" --engine tensorrt
    SEVERSTAL_TENSORRT_PRECISION=$precision bash "$ROOT/bin/benchmark.sh" "$network" 0 "${where[@]}" \
      --engines tensorrt --strips 64
  done
else
  echo "TensorRT is not installed: its rows are left out"
fi
bash "$ROOT/bin/benchmark.sh" "$network" 0 "${where[@]}" --engines "$engines" --strips 64
bash "$ROOT/bin/export.sh" "${where[@]}"
bash "$ROOT/bin/predict.sh" "${where[@]}"
echo "everything is in $work"
