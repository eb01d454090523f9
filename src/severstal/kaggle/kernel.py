"""Prediction inside a Kaggle notebook: no network, an hour, and whatever GPU and libraries there are.

The packaged notebook calls :func:`predict`. Engines are tried in order of speed; one that cannot be built or run here
gives way to the next, and the notebook's output says which was taken and why the others were not.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import time
from pathlib import Path

from severstal.console import duration
from severstal.engines.catalog import is_installed
from severstal.errors import InputError
from severstal.hardware import gpu_count, gpus

RECORD = "package.json"  # in the packaged data set, beside code/, folds/ and wheels/
MIN_EXPECTED_DICE = 60  # seconds: with less time left no engine is begun


def find(root: Path, name: str) -> Path:
    """The folder that holds a file of this name, at most four levels below ``root``, as Kaggle attaches inputs.

    Raises:
        InputError: if there is none, or more than one.
    """
    found = sorted({file.parent for depth in range(5) for file in root.glob("*/" * depth + name)})
    if len(found) != 1:
        where = f"{len(found)} folders under {root}" if found else f"no folder under {root}"
        raise InputError(
            f"{where} hold(s) {name}: attach the packaged data set and the competition to the notebook, once"
        )
    return found[0]


def candidates() -> list[str]:
    """The engines that can be tried here, the quickest first."""
    if not gpu_count():
        return [name for name in ("openvino", "onnxruntime", "torch") if is_installed(name)]
    return [name for name in ("tensorrt", "torch-fp16", "onnxruntime", "torch") if is_installed(name) and _loads(name)]


def _loads(name: str) -> bool:
    """Whether an engine that rebuilds networks from their weights finds the library that does."""
    return not name.startswith("torch") or bool(importlib.util.find_spec("segmentation_models_pytorch"))


def predict(package: Path, competition: Path, working: Path, limit: float) -> str:
    """Write ``working/submission.csv``; returns the engine that made it.

    Args:
        package: the packaged data set.
        competition: the competition's files.
        limit: seconds, for all attempts together.

    Raises:
        InputError: if no engine works here.
    """
    ends = time.monotonic() + limit
    names = candidates()
    here = ", ".join(gpu["name"] for gpu in gpus()) or "no GPU"
    print(f"{here}; engines to try, in order: {', '.join(names)}", flush=True)
    folds = working / "folds"
    # Inputs cannot be written to: engines are built beside links to what was packaged.
    shutil.copytree(package / "folds", folds, copy_function=_link, dirs_exist_ok=True)
    try:
        for name in names:
            left = ends - time.monotonic()
            if left < MIN_EXPECTED_DICE:
                raise InputError(f"only {duration(max(left, 0))} of the time are left, and no engine has worked so far")
            if _run(package, competition, working, name, left):
                return name
            print(f"engine {name} did not work here (the reason stands above): on to the next", flush=True)
    finally:
        shutil.rmtree(folds)
    raise InputError(f"none of the engines works here: {', '.join(names) or 'none is installed'}")


def _run(package: Path, competition: Path, working: Path, engine: str, left: float) -> bool:
    command = [sys.executable, str(package / "code" / "predict.py"), "--engine", engine]
    command += ["--input", str(competition), "--folds", str(working / "folds"), "--submissions", str(working)]
    command += ["--time-limit", f"{int(left)}s", "--on-error", "empty"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        for line in process.stdout:
            print(line, end="", flush=True)
    return process.returncode == 0


def _link(source: str, target: str) -> None:
    Path(target).symlink_to(source)
