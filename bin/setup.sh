#!/usr/bin/env bash
# Set up the environment .venv: once, and again when a requirements file changes or the checkout has moved.
#   bash bin/setup.sh [--dev]            --dev adds what linting and the tests need
#   INSTALLER=pip bash bin/setup.sh      plain pip instead of uv
#   PYTHON=python3.12 bash bin/setup.sh  that Python
#   WITH_GPU=1 bash bin/setup.sh         TensorRT and pycuda too, though this machine has no GPU (building a container)
set -euo pipefail
unset CDPATH
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

files=(-r requirements.txt -r requirements-kaggle.txt -r requirements-demo.txt)
if [ "${1:-}" = --dev ] || [ -e .venv/.dev ]; then files+=(-r requirements-dev.txt -r requirements-cluster.txt); fi
gpu="${WITH_GPU:-0}"
if command -v nvidia-smi >/dev/null && nvidia-smi -L >/dev/null 2>&1; then gpu=1; fi
dependencies="$(cat requirements*.txt requirements.lock | cksum) ${files[*]} gpu=$gpu"
# The editable install names this folder. A container's layer of dependencies has no package yet.
package=none
if [ -e pyproject.toml ]; then package="$(cksum < pyproject.toml) $PWD"; fi

install() {  # with the locked versions of what the requirements bring along
  if [ "${INSTALLER:-uv}" = uv ]; then
    .venv/bin/uv pip install --quiet --python .venv/bin/python --constraint requirements.lock "$@"
  else
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --constraint requirements.lock "$@"
  fi
}

find_python() {  # prints $PYTHON, or the first Python that fits
  if [ -n "${PYTHON:-}" ]; then echo "$PYTHON" && return; fi
  for candidate in python3.12 python3.11 python3; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' 2>/dev/null; then
      echo "$candidate" && return
    fi
  done
  echo "error: Python 3.11 or 3.12 is needed and none was found: install one (Debian 12: apt-get install python3" \
    "python3-venv), or name it: PYTHON=/path/to/python3.12 bash bin/setup.sh" >&2
  exit 2
}

install_dependencies() {
  echo "== setup: installing into .venv with ${INSTALLER:-uv} (a minute or two, about 6 GB)"
  python="$(find_python)"
  if [ ! -x .venv/bin/pip ] && ! "$python" -m venv --clear .venv; then
    echo "error: $python cannot create a virtual environment: apt-get install python3-venv (or python3.12-venv)," \
      "then run this again" >&2
    exit 2
  fi
  rm -f .venv/.complete
  if [ "${INSTALLER:-uv}" = uv ]; then .venv/bin/python -m pip install -qq --disable-pip-version-check uv==0.13.9; fi
  install "${files[@]}" setuptools  # which builds the package
  if [ "$gpu" = 1 ]; then install_gpu; fi
  case " ${files[*]} " in *requirements-dev*) touch .venv/.dev ;; esac
  echo "$dependencies" > .venv/.complete
}

install_gpu() {
  if install -r requirements-gpu.txt; then return; fi
  # pycuda is compiled here and now; without CUDA's headers, PyTorch holds the buffers.
  grep -v '^pycuda' requirements-gpu.txt > .venv/requirements-gpu.txt
  if install -r .venv/requirements-gpu.txt; then
    echo "note: pycuda could not be compiled (it needs CUDA's headers); TensorRT will use PyTorch's buffers" >&2
  else
    echo "warning: TensorRT could not be installed; prediction will use PyTorch on the GPU. To try again:" \
      ".venv/bin/pip install -r requirements-gpu.txt" >&2
  fi
}

if [ "$(cat .venv/.complete 2>/dev/null)" != "$dependencies" ]; then install_dependencies; fi
if [ "$package" != none ] && [ "$(cat .venv/.package 2>/dev/null)" != "$package" ]; then
  moved_from="$(cut -d' ' -f3- .venv/.package 2>/dev/null || true)"
  if [ -n "$moved_from" ] && [ "$moved_from" != "$PWD" ] && [ ! -L .venv ]; then
    # The scripts of an environment name its folder in their first line.
    { grep -lIF "$moved_from/.venv" .venv/bin/* || true; } | xargs -r sed -i "s|$moved_from/.venv|$PWD/.venv|g"
  fi
  install --no-deps --no-build-isolation --editable .
  echo "$package" > .venv/.package
fi
