#!/usr/bin/env bash
# Renew requirements.lock and requirements-moto.lock, the exact versions of everything that the requirements files bring
# along.
#   bash bin/lock.sh              after a change of a requirements file
#   bash bin/lock.sh --upgrade    the newest transitive versions; options go to uv pip compile
source "$(dirname -- "${BASH_SOURCE[0]}")/env.sh"
cd -- "$ROOT"
lock() {  # FILE OPTIONS... REQUIREMENTS...
  .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --no-annotate \
    --custom-compile-command "bash bin/lock.sh" --output-file "$@"
}
lock requirements.lock "$@" requirements.txt requirements-{kaggle,demo,cluster,notebooks,dev}.txt
lock requirements-moto.lock "$@" requirements-moto.txt
