#!/usr/bin/env bash
# Open the notebooks in JupyterLab: http://127.0.0.1:8888, on this machine alone. Further options go to JupyterLab.
source "$(dirname -- "${BASH_SOURCE[0]}")/env.sh"
[ -x "$ROOT/.venv/bin/jupyter-lab" ] || "$PYTHON" -m pip install --quiet --disable-pip-version-check \
  --constraint "$ROOT/requirements.lock" -r "$ROOT/requirements-notebooks.txt"
exec "$PYTHON" -m jupyterlab --port 8888 --no-browser --notebook-dir "$ROOT/notebooks" "$@"
