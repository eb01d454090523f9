"""The notebooks, executed on a small synthetic set."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from support.commands import ROOT

FOLDER = ROOT / "notebooks"
NAMES = ("1_train_one_fold", "2_export_step_by_step", "3_inference_with_engines")


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """One folder for all three: a notebook does not repeat what an earlier one finished."""
    return tmp_path_factory.mktemp("notebooks")


def files() -> set[Path]:
    return {file for file in FOLDER.rglob("*") if not {"run", "__pycache__"} & set(file.parts)}


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_runs_from_start_to_end_and_shows_its_results(name: str, run: Path, monkeypatch) -> None:
    monkeypatch.setenv("SEVERSTAL_RUN", str(run))
    monkeypatch.setenv("SEVERSTAL_STRIPS", "24")
    monkeypatch.setenv("SEVERSTAL_VALUES", "--samples-per-epoch 8 --epochs 1 --decoder-channels 16,16,8")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    before = files()
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    NotebookClient(notebook, timeout=400, resources={"metadata": {"path": str(FOLDER)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert any("image/png" in output.get("data", {}) or "text/html" in output.get("data", {}) for output in outputs)
    assert not [output for output in outputs if output.get("name") == "stderr" and "Traceback" in output["text"]]
    assert files() == before, "it left files behind"


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_committed_without_outputs(name: str) -> None:
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert all(not cell.get("outputs") and not cell.get("execution_count") for cell in notebook.cells)
