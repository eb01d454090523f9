"""The package for Kaggle: what is in it, and that its notebook predicts from the package alone, without a network."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import onnxruntime
import pandas as pd
import pytest
from support.commands import ROOT, run_stage_alone

from severstal.engines import base
from severstal.errors import InputError
from severstal.experiment import Member
from severstal.kaggle import notebook_run, package
from severstal.paths import Paths

# Executes a notebook and prints its outputs. The kernel's sockets are files, because there may be no network at all.
EXECUTE = """
import sys
import tempfile
import nbformat
from jupyter_client import AsyncKernelManager
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
manager = AsyncKernelManager(kernel_name="python3", transport="ipc", ip=tempfile.mkdtemp() + "/socket")
client = NotebookClient(notebook, km=manager, timeout=300, resources={"metadata": {"path": sys.argv[2]}})
try:
    client.execute()
finally:
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            print(output.get("text") or output.get("evalue") or output.get("data", {}).get("text/plain", ""))
"""

# Kaggle has no installation of this project. Python runs this file at its start, and hides the tests' own.
HIDE_INSTALLATION = f"""
import importlib.metadata
import sys
sys.path[:] = [entry for entry in sys.path if entry != {str(ROOT / "src")!r}]
sys.meta_path[:] = [finder for finder in sys.meta_path if "__editable__" not in repr(finder)]
find = importlib.metadata.Distribution.from_name.__func__
def from_name(cls, name):
    if name == "severstal":
        raise importlib.metadata.PackageNotFoundError(name)
    return find(cls, name)
importlib.metadata.Distribution.from_name = classmethod(from_name)
"""


@pytest.fixture(scope="module")
def packaged(exported: Paths, tmp_path_factory) -> Paths:
    """The package of the exported run, in a submissions folder of its own."""
    root = tmp_path_factory.mktemp("packaged")
    paths = Paths(root / "input", exported.folds, root / "submissions")
    shutil.copytree(exported.test_images, paths.test_images)
    names = sorted(file.name for file in paths.test_images.iterdir())
    rows = [{"ImageId": name, "EncodedPixels": "", "ClassId": c} for name in names for c in (1, 2, 3, 4)]
    pd.DataFrame(rows).to_csv(paths.sample_submission, index=False)
    stale = paths.kaggle_dataset / "folds" / "resnet99" / "0" / "model.onnx"  # of an earlier package
    stale.parent.mkdir(parents=True)
    stale.touch()
    run_stage_alone("package_kaggle", paths, "--no-wheels")
    return paths


@pytest.fixture
def session(packaged: Paths, tmp_path: Path) -> tuple[Path, Path]:
    """The input and working folders of a session on Kaggle, with the package and the competition attached."""
    attached, working = tmp_path / "kaggle" / "input", tmp_path / "kaggle" / "working"
    shutil.copytree(packaged.kaggle_dataset, attached / "severstal-networks")
    competition = attached / "competitions" / "severstal-steel-defect-detection"
    shutil.copytree(packaged.test_images, competition / "test_images")
    shutil.copy(packaged.sample_submission, competition)
    working.mkdir()
    return attached, working


def run_notebook(notebook: Path, attached: Path, working: Path) -> subprocess.CompletedProcess[str]:
    """In a process without this project's installation and, where the system can remove it, without a network."""
    start = working.parent / "start"
    start.mkdir()
    (start / "sitecustomize.py").write_text(HIDE_INSTALLATION)
    environment = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")}
    environment |= {"SEVERSTAL_INPUT": str(attached), "SEVERSTAL_WORKING": str(working), "OMP_NUM_THREADS": "1"}
    environment |= {"PYTHONPATH": str(start)}
    without_network = ["unshare", "-rn"]
    if subprocess.run([*without_network, "true"], capture_output=True).returncode:
        without_network = []
        environment |= {"HTTPS_PROXY": "http://localhost:9", "HTTP_PROXY": "http://localhost:9"}
    command = [*without_network, sys.executable, "-c", EXECUTE, str(notebook), str(working)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=working.parent)


def test_the_notebook_writes_the_same_submission_as_the_predict_stage(packaged, session) -> None:
    attached, working = session
    done = run_notebook(packaged.kaggle_kernel / "severstal-inference.ipynb", attached, working)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "predicted by openvino" in done.stdout
    run_stage_alone("predict", packaged, "--engine", "openvino")
    assert (working / "submission.csv").read_bytes() == packaged.submission.read_bytes()
    assert sorted(file.name for file in working.iterdir()) == ["submission.csv", "submission.json"]


def test_the_next_engine_predicts_if_the_fastest_fails(session, monkeypatch, caplog) -> None:
    attached, working = session
    caplog.set_level(logging.INFO)
    competition = notebook_run.find_input(attached, "sample_submission.csv")
    monkeypatch.setattr(notebook_run, "available_engines", lambda: ["tensorrt", "onnxruntime", "torch"])
    assert notebook_run.predict(attached / "severstal-networks", competition, working, 600) == "onnxruntime"
    assert "engine tensorrt does not work in this session" in caplog.text
    assert "needs an NVIDIA GPU" in caplog.text or "not installed" in caplog.text
    assert (working / "submission.csv").exists()


def test_a_session_without_a_working_engine_or_time_keeps_the_empty_masks_of_the_notebook(
    session, monkeypatch, caplog
) -> None:
    attached, working = session
    (working / "submission.csv").write_text("of the notebook")
    competition = notebook_run.find_input(attached, "sample_submission.csv")
    inputs = attached / "severstal-networks", competition, working
    monkeypatch.setattr(notebook_run, "available_engines", list)
    assert notebook_run.predict(*inputs, 600) is None
    assert "no engine has predicted" in caplog.text
    monkeypatch.setattr(notebook_run, "available_engines", lambda: ["openvino"])
    assert notebook_run.predict(*inputs, 30) is None
    assert "no further engine is tried" in caplog.text
    assert (working / "submission.csv").read_text() == "of the notebook"
    assert not (working / "folds").exists()


def test_an_engine_that_hangs_is_stopped(tmp_path, monkeypatch) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / "predict.py").write_text("import time\ntime.sleep(600)\n")
    monkeypatch.setattr(notebook_run, "GRACE_SECONDS", 0)
    assert not notebook_run._predict_with("torch", tmp_path, Paths.under(tmp_path), 0.2)


GPU = {"name": "NVIDIA T4", "compute_cap": "7.5"}
ON_THE_GPU = ["tensorrt", "torch-fp16", "torch", "openvino", "onnxruntime"]


@pytest.mark.parametrize(
    ("gpus", "providers", "expected"),
    [
        ([GPU], ["CPUExecutionProvider"], ON_THE_GPU),
        ([GPU], ["CUDAExecutionProvider"], ["tensorrt", "torch-fp16", "onnxruntime", "torch", "openvino"]),
        ([GPU | {"compute_cap": "6.0"}], ["CPUExecutionProvider"], ON_THE_GPU[1:]),
        ([], ["CPUExecutionProvider"], ["openvino", "onnxruntime", "torch"]),
    ],
)
def test_engines_on_the_gpu_are_tried_before_those_on_the_cpu(monkeypatch, gpus, providers, expected) -> None:
    monkeypatch.setattr(notebook_run, "gpus", lambda: gpus)
    monkeypatch.setattr(base, "gpu_count", lambda: len(gpus))
    monkeypatch.setattr(base.Engine, "is_installed", classmethod(lambda cls: True))
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: providers)
    assert notebook_run.available_engines() == expected


def test_attached_data_are_found_at_any_depth_and_only_once(tmp_path) -> None:
    with pytest.raises(InputError, match=r"no folder under .* package\.json"):
        notebook_run.find_input(tmp_path, "package.json")
    for place in ("a/b/c", "d"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "package.json").touch()
        if place == "a/b/c":
            assert notebook_run.find_input(tmp_path, "package.json") == tmp_path / "a/b/c"
    with pytest.raises(InputError, match="2 folders"):
        notebook_run.find_input(tmp_path, "package.json")


def test_the_package_has_the_form_that_kaggles_client_requires(packaged) -> None:
    dataset = json.loads((packaged.kaggle_dataset / "dataset-metadata.json").read_text())
    notebook = json.loads((packaged.kaggle_kernel / "kernel-metadata.json").read_text())
    assert notebook["dataset_sources"] == [dataset["id"]]
    assert notebook["competition_sources"] == ["severstal-steel-defect-detection"]
    assert (notebook["enable_internet"], notebook["enable_gpu"], notebook["is_private"]) == (False, True, True)
    assert (packaged.kaggle_kernel / notebook["code_file"]).exists()
    assert 6 <= len(dataset["title"]) <= 50
    slug = notebook["title"].lower().replace(" ", "-")
    assert notebook["id"].split("/")[1] == slug, "Kaggle derives the id from the title"


def test_the_package_holds_the_code_with_its_data_files_and_nothing_superfluous(packaged) -> None:
    files = {file.relative_to(packaged.kaggle_dataset).as_posix() for file in packaged.kaggle_dataset.rglob("*")}
    assert {"code/predict.py", "code/severstal/kaggle/notebook_run.py", "folds/postprocess.json"} <= files
    data_files = {file.relative_to(ROOT / "src").as_posix() for file in (ROOT / "src").rglob("*.toml")}
    assert {f"code/{file}" for file in data_files} <= files
    assert not [file for file in files if "oof.npz" in file or "__pycache__" in file or ".egg-info" in file]
    assert not [file for file in files if "resnet99" in file], "a network of an earlier package is still there"


def test_the_given_user_owns_the_data_set(packaged) -> None:
    package.write_kernel(packaged.kaggle_kernel.with_name("other"), "someone")
    metadata = json.loads((packaged.kaggle_kernel.with_name("other") / "kernel-metadata.json").read_text())
    assert metadata["id"] == "someone/severstal-inference"
    assert metadata["dataset_sources"] == ["someone/severstal-networks"]


def test_every_wheel_has_a_pinned_version() -> None:
    for name in package.WHEELS:
        assert package._pin(name).startswith(f"{name}==")


def test_one_wheel_that_cannot_be_downloaded_does_not_stop_the_others(tmp_path, monkeypatch) -> None:
    asked = []

    def run(command: list[str], **options):
        asked.append(command)
        failed = command[-1].startswith("onnx==")
        return subprocess.CompletedProcess(command, int(failed), "", "ERROR: there is none\n" if failed else "")

    monkeypatch.setattr(package.subprocess, "run", run)
    with pytest.raises(InputError, match=r"onnx==[\d.]+ for Python 3\.12 \(ERROR: there is none\)\. .*--no-wheels"):
        package.fetch_wheels(tmp_path / "wheels", package.TENSORRT)
    assert len(asked) == 2 * (len(package.WHEELS) + 3) - 1, "a module published as source is built once"
    for version in ("3.11", "3.12"):
        assert sum(version in command for command in asked) == len(package.WHEELS) + 2
    by_name = {command[-1].split("==")[0]: command for command in asked}
    assert package.NVIDIA_INDEX in by_name["tensorrt-cu12-libs"], "PyPI has a stub of it alone"
    assert package.NVIDIA_INDEX not in by_name["timm"]
    assert "wheel" in by_name["tensorrt-cu12"], "it is published as source"


def test_an_error_of_the_index_is_shown(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(package, "WHEELS", ())
    monkeypatch.setenv("PIP_INDEX_URL", "http://localhost:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(InputError, match=r"no-such-wheel==1 for Python 3\.11 \(ERROR.*--no-wheels"):
        package.fetch_wheels(tmp_path / "wheels", ["no-such-wheel==1"])


def test_tensorrts_graph_and_the_layers_that_need_float32_are_packed(tmp_path) -> None:
    member = Member(Paths.under(tmp_path), "resnet34", 0)
    files = member.files
    files.folder.mkdir(parents=True)
    before = package._files(member)
    for file in (files.converted_onnx("tensorrt"), files.float32_layers("tensorrt")):
        assert file not in before
        file.touch()
        assert file in package._files(member)
