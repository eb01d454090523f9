# shellcheck shell=bash disable=SC2034
# Sourced by every script here: strict mode, and the repository's own Python, set up if need be.
# Folders that are named on a command line keep their meaning: nothing here changes the working folder.
set -euo pipefail
unset CDPATH  # with it, cd may print or go elsewhere
ROOT="$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)"
bash "$ROOT/bin/setup.sh"
PYTHON="$ROOT/.venv/bin/python"
# For a user without a home folder or a name, libraries would make a folder called "~" in the working folder.
if [ -z "${HOME:-}" ] && ! getent passwd "$(id -u)" > /dev/null 2>&1; then export HOME=/dev/null; fi
export PYTHONUTF8=1  # text is UTF-8 here, whatever LANG says

# A thread that waits by spinning takes the core that a loader, or another program, would run on: with one busy
# neighbour on two cores a training step took 8.5 s instead of 0.4 s. Where alone, this costs nothing measurable.
export GOMP_SPINCOUNT="${GOMP_SPINCOUNT:-10000}"

# Containers often set this variable, and then every process compiles anew what it imports: on two cores the networks'
# and the export's libraries took 13 s instead of 6 s. What is compiled is kept in .venv, beside no source.
if [ -n "${PYTHONDONTWRITEBYTECODE:-}" ] && [ -w "$ROOT/.venv" ]; then
  unset PYTHONDONTWRITEBYTECODE
  export PYTHONPYCACHEPREFIX="${PYTHONPYCACHEPREFIX:-$ROOT/.venv/bytecode}"
fi
