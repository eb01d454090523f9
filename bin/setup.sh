#!/usr/bin/env bash
# Set up the virtual environment .venv: once, again whenever a requirements file changes.
#   bash bin/setup.sh [--dev]        --dev adds what the tests need
#   INSTALLER=pip bash bin/setup.sh  plain pip instead of uv
#   PYTHON=python3.12 bash bin/setup.sh
#   WITH_GPU=1 bash bin/setup.sh     what a GPU can use, though none is here (building a container)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

files=(-r requirements.txt)
if [ "${1:-}" = --dev ] || [ -e .venv/.dev ]; then files+=(-r requirements-dev.txt); fi
gpu="${WITH_GPU:-0}"
if command -v nvidia-smi >/dev/null && nvidia-smi -L >/dev/null 2>&1; then gpu=1; fi
wanted="$(cat requirements*.txt | cksum) ${files[*]} gpu=$gpu"
if [ "$(cat .venv/.complete 2>/dev/null)" = "$wanted" ]; then exit 0; fi

python="${PYTHON:-}"
for candidate in python3.12 python3.11 python3; do
  if [ -z "$python" ] && "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' 2>/dev/null; then
    python="$candidate"
  fi
done
if [ -z "$python" ]; then
  echo "error: Python 3.11 or 3.12 is needed and none was found: install one (Debian 12: apt-get install python3 python3-venv), or name it: PYTHON=/path/to/python3.12 bash bin/setup.sh" >&2
  exit 2
fi

echo "== setup: installing into .venv with ${INSTALLER:-uv} (a minute or two, about 6 GB)"
if [ ! -x .venv/bin/pip ] && ! "$python" -m venv --clear .venv; then
  echo "error: $python cannot make a virtual environment: apt-get install python3-venv (or python3.12-venv), then run this again" >&2
  exit 2
fi
rm -f .venv/.complete
if [ "${INSTALLER:-uv}" = uv ]; then
  .venv/bin/python -m pip install -qq --disable-pip-version-check uv==0.13.9
  install() { .venv/bin/uv pip install --quiet --python .venv/bin/python "$@"; }
else
  install() { .venv/bin/python -m pip install --quiet --disable-pip-version-check "$@"; }
fi
install "${files[@]}"
if [ "$gpu" = 1 ] && ! install -r requirements-gpu.txt; then
  # pycuda is compiled here and now; without CUDA's headers, torch holds the buffers.
  grep -v '^pycuda' requirements-gpu.txt > .venv/requirements-gpu.txt
  if install -r .venv/requirements-gpu.txt; then
    echo "note: pycuda could not be compiled (it needs CUDA's headers); TensorRT's buffers will be PyTorch's" >&2
  else
    echo "warning: TensorRT could not be installed; prediction will use PyTorch on the GPU. To try again: .venv/bin/pip install -r requirements-gpu.txt" >&2
  fi
fi
case " ${files[*]} " in *requirements-dev*) touch .venv/.dev ;; esac
echo "$wanted" > .venv/.complete
