"""Packages that only a benchmark's baselines need: a normal installation lacks them, and the benchmark goes on."""

from __future__ import annotations

import importlib.util

from severstal.console import Stage


def is_installed(module: str, baseline: str, stage: Stage) -> bool:
    """Whether a baseline's module is installed; if not, a line says that it is left out and how to install it."""
    found = importlib.util.find_spec(module) is not None
    if not found:
        stage.say(f"{baseline} is left out, as {module} is not installed: `bash bin/setup.sh --dev` installs it")
    return found
