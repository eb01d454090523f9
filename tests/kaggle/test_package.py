"""The package for Kaggle: what is in it, and that its notebook predicts from it alone, without a network."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from support.commands import run_stage_alone
from support.exported_run import write_exported

from severstal.errors import InputError
from severstal.kaggle import notebook_run, package
from severstal.paths import Paths

# Executes a notebook and keeps its outputs; sockets are files, as there may be no network at all.
EXECUTE = """
import sys
import tempfile
import nbformat
from jupyter_client import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
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


@pytest.fixture(scope="module")
def packaged(tmp_path_factory) -> Paths:
    paths = write_exported(tmp_path_factory.mktemp("run"))
    names = sorted(file.name for file in paths.test_images.iterdir())
    rows = [{"ImageId": name, "EncodedPixels": "", "ClassId": c} for name in names for c in (1, 2, 3, 4)]
    pd.DataFrame(rows).to_csv(paths.sample_submission, index=False)
    run_stage_alone("package_kaggle", paths, "--no-wheels")
    return paths


def as_kaggle_attaches(paths: Paths, root: Path) -> tuple[Path, Path]:
    """The folders of a notebook's session; returns input and working."""
    attached, working = root / "kaggle" / "input", root / "kaggle" / "working"
    shutil.copytree(paths.kaggle_dataset, attached / "severstal-networks")
    competition = attached / "competitions" / "severstal-steel-defect-detection"
    shutil.copytree(paths.test_images, competition / "test_images")
    shutil.copy(paths.sample_submission, competition)
    working.mkdir()
    return attached, working


def run_notebook(notebook: Path, attached: Path, working: Path) -> subprocess.CompletedProcess[str]:
    """In a process without the repository on its path and, where the system can take it away, without a network."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")}
    where = {"SEVERSTAL_INPUT": str(attached), "SEVERSTAL_WORKING": str(working), "OMP_NUM_THREADS": "1"}
    alone = ["unshare", "-rn"]
    if subprocess.run([*alone, "true"], capture_output=True).returncode:
        alone, where = [], where | {"HTTPS_PROXY": "http://localhost:9", "HTTP_PROXY": "http://localhost:9"}
    command = [*alone, sys.executable, "-c", EXECUTE, str(notebook), str(working)]
    return subprocess.run(command, capture_output=True, text=True, env=kept | where, cwd=working.parent)


def test_the_notebook_alone_writes_what_the_stage_writes(packaged, tmp_path) -> None:
    attached, working = as_kaggle_attaches(packaged, tmp_path)
    done = run_notebook(packaged.kaggle_kernel / "severstal-inference.ipynb", attached, working)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "predicted by openvino" in done.stdout
    assert str(Path(notebook_run.__file__).parents[2]) not in done.stdout, (
        "it ran this repository's code and not the package's"
    )
    run_stage_alone("predict", packaged, "--engine", "openvino")
    assert (working / "submission.csv").read_bytes() == packaged.submission.read_bytes()
    assert sorted(file.name for file in working.iterdir()) == ["submission.csv", "submission.json"]


def test_an_engine_that_fails_here_gives_way_to_the_next(packaged, tmp_path, monkeypatch, capsys) -> None:
    attached, working = as_kaggle_attaches(packaged, tmp_path)
    competition = notebook_run.find_input(attached, "sample_submission.csv")
    monkeypatch.setattr(notebook_run, "available_engines", lambda: ["tensorrt", "onnxruntime", "torch"])
    assert notebook_run.predict(attached / "severstal-networks", competition, working, 600) == "onnxruntime"
    said = capsys.readouterr().out
    assert "engine tensorrt did not work here" in said
    assert "needs an NVIDIA GPU" in said or "not installed" in said
    assert (working / "submission.csv").exists()


def test_without_any_engine_or_time_it_says_so(packaged, tmp_path, monkeypatch) -> None:
    attached, working = as_kaggle_attaches(packaged, tmp_path)
    inputs = attached / "severstal-networks", notebook_run.find_input(attached, "sample_submission.csv"), working
    monkeypatch.setattr(notebook_run, "available_engines", list)
    with pytest.raises(InputError, match="none of the engines works here"):
        notebook_run.predict(*inputs, 600)
    monkeypatch.setattr(notebook_run, "available_engines", lambda: ["openvino"])
    with pytest.raises(InputError, match="no engine has worked so far"):
        notebook_run.predict(*inputs, 30)
    assert not (working / "folds").exists()


@pytest.mark.parametrize(("gpu", "first"), [(1, "torch-fp16"), (0, "openvino")])
def test_engines_are_tried_in_order_of_speed(monkeypatch, gpu, first) -> None:
    monkeypatch.setattr(notebook_run, "gpu_count", lambda: gpu)
    monkeypatch.setattr(notebook_run, "is_installed", lambda name: name != "tensorrt")
    assert notebook_run.available_engines()[0] == first
    assert notebook_run.available_engines()[-1] == "torch"
    monkeypatch.setattr(notebook_run, "is_installed", lambda name: True)
    assert (notebook_run.available_engines()[0] == "tensorrt") == bool(gpu)


def test_inputs_are_found_wherever_kaggle_attaches_them(tmp_path) -> None:
    with pytest.raises(InputError, match=r"no folder under .* package\.json"):
        notebook_run.find_input(tmp_path, "package.json")
    for place in ("a/b/c", "d"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "package.json").touch()
        if place == "a/b/c":
            assert notebook_run.find_input(tmp_path, "package.json") == tmp_path / "a/b/c"
    with pytest.raises(InputError, match="2 folders"):
        notebook_run.find_input(tmp_path, "package.json")


def test_the_package_is_what_kaggles_client_takes(packaged) -> None:
    dataset = json.loads((packaged.kaggle_dataset / "dataset-metadata.json").read_text())
    notebook = json.loads((packaged.kaggle_kernel / "kernel-metadata.json").read_text())
    assert notebook["dataset_sources"] == [dataset["id"]]
    assert notebook["competition_sources"] == ["severstal-steel-defect-detection"]
    assert (notebook["enable_internet"], notebook["enable_gpu"], notebook["is_private"]) == (False, True, True)
    assert (packaged.kaggle_kernel / notebook["code_file"]).exists()
    assert 6 <= len(dataset["title"]) <= 50
    assert notebook["id"].split("/")[1] == notebook["title"].lower().replace(" ", "-"), (
        "Kaggle makes the one of the other"
    )
    files = [file.name for file in packaged.kaggle_dataset.rglob("*") if file.is_file()]
    assert "oof.npz" not in files
    assert "__pycache__" not in str(files)


def test_packaging_again_leaves_nothing_of_before(packaged) -> None:
    stale = packaged.kaggle_dataset / "folds" / "resnet99" / "0" / "model.onnx"
    stale.parent.mkdir(parents=True)
    stale.touch()
    run_stage_alone("package_kaggle", packaged, "--no-wheels", "--user", "someone")
    assert not stale.exists()
    assert '"someone/severstal-networks"' in (packaged.kaggle_dataset / "dataset-metadata.json").read_text()


def test_wheels_are_those_that_are_pinned() -> None:
    for name in package.WHEELS:
        assert package._pin(name).startswith(f"{name}==")


def test_wheels_that_cannot_be_fetched_are_an_error_with_the_way_round(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(package, "WHEELS", ())
    monkeypatch.setenv("PIP_INDEX_URL", "http://localhost:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(InputError, match=r"cannot be fetched.*--no-wheels"):
        package.fetch_wheels(tmp_path / "wheels", ["no-such-wheel==1"])
