#!/usr/bin/env bash
# Set up the environment .venv: once, and again when a requirements file changes or the checkout has moved.
#   bash bin/setup.sh [--dev]            --dev adds what linting and the tests need
#   bash bin/setup.sh --cluster          adds Ray and Dask: training on several machines, bin/predict_lake.sh
#   INSTALLER=pip bash bin/setup.sh      plain pip instead of uv
#   PYTHON=python3.12 bash bin/setup.sh  that Python
#   WITH_GPU=1 bash bin/setup.sh         TensorRT and pycuda too, though this machine has no GPU (building a container)
set -euo pipefail
unset CDPATH
case "${1:-}" in
  "" | --dev | --cluster) ;;
  -h | --help) sed -n '2,7s/^# *//p' "${BASH_SOURCE[0]}"; exit ;;
  *) echo "error: unknown option $1: bin/setup.sh takes --dev, --cluster or nothing" >&2; exit 2 ;;
esac
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
# uv needs a place for its cache: without a home folder that can be written to it goes without.
if ! mkdir -p "${UV_CACHE_DIR:-${XDG_CACHE_HOME:-${HOME:-/dev/null}/.cache}/uv}" 2>/dev/null; then
  export UV_NO_CACHE=1
fi

files=(-r requirements.txt -r requirements-kaggle.txt -r requirements-demo.txt)
if [ "${1:-}" = --dev ] || [ -e .venv/.dev ]; then files+=(-r requirements-dev.txt); fi
if [ "${1:-}" = --cluster ] || [ -e .venv/.cluster ] || [[ " ${files[*]} " == *requirements-dev* ]]; then
  files+=(-r requirements-cluster.txt)
fi
gpu="${WITH_GPU:-0}"
if command -v nvidia-smi >/dev/null && nvidia-smi -L >/dev/null 2>&1; then gpu=1; fi
dependencies="$(cat requirements*.txt requirements*.lock | cksum) ${files[*]} gpu=$gpu"
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

fail_download() {
  echo "error: the packages could not be installed (the reason stands above). Without a way to PyPI: behind a proxy set" \
    "HTTPS_PROXY=http://HOST:PORT, a mirror is named by UV_DEFAULT_INDEX=URL and PIP_INDEX_URL=URL; then run this again" >&2
  exit 2
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
  if { [ ! -x .venv/bin/pip ] || ! has_python; } && ! "$python" -m venv --clear .venv; then
    echo "error: $python cannot create a virtual environment: apt-get install python3-venv (or python3.12-venv)," \
      "then run this again" >&2
    exit 2
  fi
  rm -f .venv/.complete
  if [ "${INSTALLER:-uv}" = uv ]; then .venv/bin/python -m pip install -qq --disable-pip-version-check uv==0.13.9 || fail_download; fi
  install "${files[@]}" setuptools || fail_download  # setuptools builds the package
  if [ "$gpu" = 1 ]; then install_gpu; fi
  case " ${files[*]} " in *requirements-dev*) install_moto && touch .venv/.dev ;; esac
  case " ${files[*]} " in *requirements-cluster*) touch .venv/.cluster ;; esac
  echo "$dependencies" > .venv/.complete
}

install_moto() {  # into an environment of its own, see requirements-moto.txt
  moto=(--constraint requirements-moto.lock -r requirements-moto.txt)
  if [ "${INSTALLER:-uv}" = uv ]; then
    .venv/bin/uv venv --quiet --clear --python .venv/bin/python .venv/moto
    .venv/bin/uv pip install --quiet --python .venv/moto/bin/python "${moto[@]}"
  else
    .venv/bin/python -m venv .venv/moto
    .venv/moto/bin/python -m pip install --quiet --disable-pip-version-check "${moto[@]}"
  fi
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

has_python() { [ -x .venv/bin/python ]; }  # not where the Python that the environment was made with is gone

is_complete() { [ "$(cat .venv/.complete 2>/dev/null)" = "$dependencies" ] && has_python; }

# An environment that belongs to another checkout (a link) or to another user stays as it is: the scripts of this one
# run their own sources all the same.
is_installed() {
  [ "$package" = none ] || [ -L .venv ] || [ ! -w .venv ] || [ "$(cat .venv/.package 2>/dev/null)" = "$package" ]
}

install_package() {
  moved_from="$(cut -d' ' -f3- .venv/.package 2>/dev/null || true)"
  if [ -n "$moved_from" ] && [ "$moved_from" != "$PWD" ]; then
    # The scripts of an environment name its folder in their first line.
    { grep -lIF "$moved_from/.venv" .venv/bin/* || true; } | xargs -r sed -i "s|$moved_from/.venv|$PWD/.venv|g"
  fi
  install --no-deps --no-build-isolation --editable .
  echo "$package" > .venv/.package
}

if is_complete && is_installed; then exit; fi
if [ ! -w . ]; then
  echo "error: $PWD has no environment for its requirements and cannot be written to: let its owner run bin/setup.sh" >&2
  exit 2
fi
# Of two runs that start at the same time one installs, the other one waits.
exec 9< requirements.txt
if command -v flock >/dev/null && ! flock --nonblock 9; then
  echo "== setup: waiting for another setup of $PWD to end"
  flock 9 || true
fi
if ! is_complete; then install_dependencies 9<&-; fi
if ! is_installed; then install_package 9<&-; fi
