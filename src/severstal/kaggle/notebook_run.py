"""Prediction inside a Kaggle notebook: no network, one hour, and the GPU and libraries that the session has.

The packaged notebook calls :func:`predict`. It tries the engines in order of speed; if one cannot be built or run in
this session, the next is tried, and the log says which was used and why the others were not.
"""

from __future__ import annotations

import importlib.util
import logging
import shutil
import subprocess
import sys
import time
from pathlib import Path

from severstal.console import duration, folder_options
from severstal.engines.catalog import is_installed
from severstal.errors import InputError
from severstal.folder_paths import KaggleDatasetPaths
from severstal.hardware import gpu_count, gpus
from severstal.paths import Paths

logger = logging.getLogger(__name__)

MIN_SECONDS = 60  # with less time left, no further engine is started
SEARCH_DEPTH = 4  # levels below /kaggle/input at which Kaggle attaches data


def find_input(root: Path, name: str) -> Path:
    """The folder that holds the file ``name``, at most ``SEARCH_DEPTH`` levels below ``root``.

    Raises:
        InputError: if there is none, or more than one.
    """
    found = sorted({file.parent for depth in range(SEARCH_DEPTH + 1) for file in root.glob("*/" * depth + name)})
    if len(found) != 1:
        where = f"{len(found)} folders under {root}" if found else f"no folder under {root}"
        raise InputError(
            f"{where} hold(s) {name}: attach the packaged data set and the competition to the notebook, once each"
        )
    return found[0]


def available_engines() -> list[str]:
    """Names of the engines that can be tried in this session, the fastest first."""
    if not gpu_count():
        return [name for name in ("openvino", "onnxruntime", "torch") if is_installed(name)]
    names = ("tensorrt", "torch-fp16", "onnxruntime", "torch")
    return [name for name in names if is_installed(name) and _can_rebuild_network(name)]


def _can_rebuild_network(engine: str) -> bool:
    """Whether an engine that runs the PyTorch network, not the ONNX file, finds the library of the network."""
    return not engine.startswith("torch") or importlib.util.find_spec("segmentation_models_pytorch") is not None


def predict(package: Path, competition: Path, working: Path, limit: float) -> str:
    """Write ``working/submission.csv``.

    Args:
        package: the packaged data set.
        competition: the competition's files.
        limit: seconds, for all attempts together.

    Returns:
        The name of the engine that predicted.

    Raises:
        InputError: if no engine works in this session, or the time is over.
    """
    deadline = time.monotonic() + limit
    names = available_engines()
    hardware = ", ".join(gpu["name"] for gpu in gpus()) or "no GPU"
    logger.info("%s; engines to try, in order: %s", hardware, ", ".join(names))
    paths = Paths(competition, Paths.under(working).folds, working)
    # Attached data is read-only: engines are written beside links to the packaged files.
    shutil.copytree(KaggleDatasetPaths(package).folds, paths.folds, copy_function=_link, dirs_exist_ok=True)
    try:
        for name in names:
            seconds_left = deadline - time.monotonic()
            if seconds_left < MIN_SECONDS:
                raise InputError(f"only {duration(max(seconds_left, 0))} are left, and no engine has worked so far")
            if _predict_with(name, package, paths, seconds_left):
                return name
            logger.info("engine %s does not work in this session (the reason stands above): trying the next", name)
    finally:
        shutil.rmtree(paths.folds)
    raise InputError(f"none of the engines works in this session: {', '.join(names) or 'none is installed'}")


def _predict_with(engine: str, package: Path, paths: Paths, seconds_left: float) -> bool:
    """Run the packaged prediction stage and log its output line by line; whether it succeeded."""
    command = [sys.executable, str(KaggleDatasetPaths(package).code / "predict.py"), "--engine", engine]
    command += [*folder_options(paths), "--time-limit", f"{int(seconds_left)}s", "--skip-corrupt"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            for line in process.stdout or ():
                logger.info(line.rstrip("\n"))
        except BaseException:
            process.kill()  # or a notebook that is stopped would wait for the end of the prediction
            raise
    return process.returncode == 0


def _link(source: str, target: str) -> None:
    Path(target).symlink_to(source)
