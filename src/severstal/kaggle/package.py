"""What the Kaggle client uploads: a data set (code, networks, tuned values, wheels) and a notebook that uses it.

``dataset/`` holds package.json, code/ (this repository's src/), folds/ (the files that prediction reads) and wheels/;
``kernel/`` holds the notebook. Both hold the metadata file that the client requires.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from severstal.artifacts import fingerprint, replacing_folder, write_json, write_text
from severstal.engines.refusal import refusals
from severstal.errors import InputError
from severstal.experiment import Member
from severstal.folder_paths import KaggleDatasetPaths, KaggleKernelPaths
from severstal.kaggle.competition import SEVERSTAL
from severstal.paths import ROOT, Paths
from severstal.postprocess.tuned_values import TunedValues

DATASET, KERNEL = "severstal-networks", "severstal-inference"
OWNER = "OWNER"  # in the metadata, until submission fills in the token's user
NOTEBOOK = Path(__file__).with_name("templates") / "kaggle.ipynb"
NOT_PACKED = ("__pycache__", "*.egg-info")
PYTHONS = ("3.11", "3.12")  # of Kaggle's images: the older ones, and those since its step to 3.12
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux2014_x86_64", "any")
# Packages that prediction imports and that Kaggle's image lacks or has in another version. Their dependencies are not
# packaged, because the image has them: another NumPy or torch would break it.
WHEELS = ("segmentation-models-pytorch", "timm", "onnx", "onnxruntime", "simplejpeg")
# Of TensorRT, PyPI has wheels of the bindings, and as source the module that imports them. It has only a stub of the
# libraries: their wheel is on NVIDIA's index.
TENSORRT = ("tensorrt-cu12==10.13.3.9", "tensorrt-cu12-bindings==10.13.3.9", "tensorrt-cu12-libs==10.13.3.9")
SOURCE_ONLY = TENSORRT[:1]
NVIDIA_INDEX = "https://pypi.nvidia.com"


def write_dataset(folder: Path, paths: Paths, members: list[Member], values: TunedValues, owner: str) -> None:
    """Write everything but the wheels; parts of an earlier package are replaced, its wheels are kept.

    The record is written last: a package without it is incomplete.

    Args:
        members: the ensemble, exported to ONNX.
        owner: the Kaggle user, or ``OWNER``.
    """
    dataset = KaggleDatasetPaths(folder)
    dataset.record.unlink(missing_ok=True)
    with replacing_folder(dataset.code) as code:
        shutil.copytree(ROOT / "src", code, ignore=shutil.ignore_patterns(*NOT_PACKED), dirs_exist_ok=True)
    packed = [file for member in members for file in _files(member)]
    with replacing_folder(dataset.folds) as folds:
        for file in (paths.recipe, paths.postprocess, *packed):
            target = folds / file.relative_to(paths.folds)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, target)
    metadata = {"title": "Severstal networks", "id": f"{owner}/{DATASET}", "licenses": [{"name": "apache-2.0"}]}
    write_json(dataset.metadata, metadata)
    write_json(dataset.record, _record(members, values))


def write_kernel(folder: Path, owner: str) -> None:
    """Write the notebook, and the metadata that say which data Kaggle attaches to it."""
    kernel = KaggleKernelPaths(folder)
    notebook = kernel.notebook(KERNEL)
    write_text(notebook, NOTEBOOK.read_text(encoding="utf-8"))
    metadata = {
        "id": f"{owner}/{KERNEL}",
        "title": "Severstal inference",
        "code_file": notebook.name,
        "language": "python",
        "kernel_type": "notebook",
        "is_private": True,
        "enable_gpu": True,
        "enable_internet": False,
        "dataset_sources": [f"{owner}/{DATASET}"],
        "competition_sources": [SEVERSTAL.slug],
        "kernel_sources": [],
        "model_sources": [],
    }
    write_json(kernel.metadata, metadata)


def _record(members: list[Member], values: TunedValues) -> dict[str, Any]:
    """Content of package.json: the networks and a fingerprint of the tuned values, which identify the package."""
    hashes = {member.name: values.members[member.name] for member in members}
    return {
        "fingerprint": fingerprint(hashes, values.model_dump(mode="json")),
        "members": hashes,
        "nested": values.scores["nested"]["mean"],
        "all_empty": values.scores["all_empty"]["mean"],
    }


def fetch_wheels(folder: Path, extra: Sequence[str] = ()) -> None:
    """Download the wheels for each Python of Kaggle's images, in the versions that this repository pins.

    The notebook lets pip choose among them. One that fits every Python is there once.

    Args:
        extra: further requirements, such as ``TENSORRT``.

    Raises:
        InputError: naming the wheels that cannot be had, after all others are there.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    failures = []
    for requirement in (*(_pin(name) for name in WHEELS), *extra):
        for python in PYTHONS[:1] if requirement in SOURCE_ONLY else PYTHONS:
            done = subprocess.run(_fetch_command(requirement, folder, python), capture_output=True, text=True)
            if done.returncode:
                lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
                reason = " ".join(lines or done.stderr.splitlines()[-1:])
                failures.append(f"{requirement} for Python {python} ({reason})")
    if failures:
        raise InputError(
            f"wheels that cannot be downloaded: {'; '.join(failures)}. All else is packaged. Connect to PyPI (for "
            f"TensorRT also to {NVIDIA_INDEX}), or add --no-wheels if Kaggle's image has every package that prediction "
            "imports"
        )


def _fetch_command(requirement: str, folder: Path, python: str) -> list[str]:
    """The command that downloads or builds one wheel, without its dependencies; pip keeps a file that is there."""
    pip = [sys.executable, "-m", "pip"]
    if requirement in SOURCE_ONLY:
        return [*pip, "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), requirement]
    command = [*pip, "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--python-version", python, "--dest", str(folder)]
    command += [part for platform in PLATFORMS for part in ("--platform", platform)]
    if requirement in TENSORRT:
        command += ["--extra-index-url", NVIDIA_INDEX]
    return [*command, requirement]


def _pin(name: str) -> str:
    """The requirement of a package in requirements.txt, without its comment."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return next(line.split("#")[0].strip() for line in lines if line.startswith(f"{name}=="))


def _files(member: Member) -> list[Path]:
    """The files of a member that prediction reads; engines are built on Kaggle.

    Where TensorRT's graph was made here, it is packed: some of its layers may have been found to need float32, and a
    session on Kaggle could not find them again. The record of an engine that was refused here keeps it from being built
    there.
    """
    files = member.files
    converted = files.converted_onnx("tensorrt")
    found = [files.config, files.weights, files.onnx, *files.all_float32_layers(), *refusals(member)]
    return [*found, converted] if converted.exists() else found
