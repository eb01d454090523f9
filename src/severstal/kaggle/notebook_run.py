"""Prediction inside a Kaggle notebook: no network, one hour, and the GPU and libraries that the session has.

The packaged notebook first writes a submission with empty masks, with nothing but Python's standard library: it is
valid whatever comes after it. Then it calls :func:`predict`, which tries the engines, those that compute on the GPU
before those on the CPU: if one cannot be built or run in this session, the next is tried, and the log says which was
used and why the others were not.
"""

from __future__ import annotations

import importlib.util
import logging
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

from severstal.commands import folder_options
from severstal.console import duration
from severstal.engines.catalog import engine_class
from severstal.engines.tensorrt.library import missing_support
from severstal.errors import InputError
from severstal.folder_paths import KaggleDatasetPaths
from severstal.hardware import gpus
from severstal.paths import Paths

logger = logging.getLogger(__name__)

ENGINES = ("tensorrt", "torch-fp16", "openvino", "onnxruntime", "torch")  # the fastest first, on either device
MIN_SECONDS = 60  # with less time left, no further engine is started
GRACE_SECONDS = 60  # beyond its limit, in which the prediction stage writes its file before it is stopped
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
    """Names of the engines that can be tried in this session: those on the GPU, then those on the CPU."""
    found = [name for name in ENGINES if engine_class(name).is_installed() and _can_rebuild_network(name)]
    attached = gpus()
    if not attached:
        return [name for name in found if not engine_class(name).needs_gpu()]
    reason = missing_support(attached[0]["compute_cap"])
    if reason is not None and "tensorrt" in found:
        logger.info("engine tensorrt is not tried: %s", reason)
        found.remove("tensorrt")
    return sorted(found, key=lambda name: not engine_class(name).runs_on_gpu())


def _can_rebuild_network(engine: str) -> bool:
    """Whether an engine that runs the PyTorch network, not the ONNX file, finds the library of the network."""
    return engine_class(engine).reads_onnx or importlib.util.find_spec("segmentation_models_pytorch") is not None


def predict(package: Path, competition: Path, working: Path, limit: float) -> str | None:
    """Write ``working/submission.csv``, or leave it as it is where no engine works.

    Args:
        package: the packaged data set.
        competition: the competition's files.
        limit: seconds, for all attempts together.

    Returns:
        The name of the engine that predicted; None if none did.
    """
    deadline = time.monotonic() + limit
    names = available_engines()
    hardware = ", ".join(gpu["name"] for gpu in gpus()) or "no GPU"
    logger.info("%s; engines to try, in order: %s", hardware, ", ".join(names) or "none is installed")
    paths = Paths(competition, Paths.under(working).folds, working)
    # Attached data is read-only: engines are written beside links to the packaged files.
    shutil.copytree(KaggleDatasetPaths(package).folds, paths.folds, copy_function=_link, dirs_exist_ok=True)
    try:
        for name in names:
            seconds_left = deadline - time.monotonic()
            if seconds_left < MIN_SECONDS:
                logger.error("only %s are left: no further engine is tried", duration(max(seconds_left, 0)))
                break
            if _predict_with(name, package, paths, seconds_left):
                return name
            logger.info("engine %s does not work in this session (the reason stands above): trying the next", name)
    finally:
        shutil.rmtree(paths.folds)
    logger.error("no engine has predicted: %s is left as it is", paths.submission)
    return None


def _predict_with(engine: str, package: Path, paths: Paths, seconds_left: float) -> bool:
    """Run the packaged prediction stage and log its output line by line; whether it succeeded in time.

    The stage keeps its limit itself: engines are built in a share of it, and strips that it leaves no time for stay
    empty. It is stopped where it hangs, in a driver for instance.
    """
    command = [sys.executable, str(KaggleDatasetPaths(package).code / "predict.py"), "--engine", engine]
    command += [*folder_options(paths), "--time-limit", f"{int(seconds_left)}s", "--skip-late", "--skip-corrupt"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        watchdog = threading.Timer(seconds_left + GRACE_SECONDS, process.kill)
        watchdog.start()
        try:
            for line in process.stdout or ():
                logger.info(line.rstrip("\n"))
            process.wait()
        except BaseException:
            process.kill()  # or a notebook that is stopped would wait for the end of the prediction
            raise
        finally:
            watchdog.cancel()
    return process.returncode == 0


def _link(source: str, target: str) -> None:
    Path(target).symlink_to(source)
