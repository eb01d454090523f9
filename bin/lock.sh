#!/usr/bin/env bash
# Renew requirements.lock, the exact versions of everything that the requirements files bring along: bash bin/lock.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/env.sh"
cd -- "$ROOT"
exec .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --no-annotate \
  --custom-compile-command "bash bin/lock.sh" --output-file requirements.lock "$@" \
  requirements.txt requirements-{kaggle,demo,cluster,notebooks,dev}.txt
