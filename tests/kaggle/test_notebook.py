"""The cells of the packaged notebook, run one by one: there is a submission before anything else can fail."""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from severstal.inference import submission
from severstal.kaggle import package
from severstal.paths import Paths

CELLS = [cell for cell in json.loads(package.NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"]
FOLDERS, INSTALL, PREDICT, SHOW = ("".join(cell["source"]) for cell in CELLS)
SAMPLES = {
    "now": "ImageId,EncodedPixels,ClassId\n" + "".join(f"b.jpg,1 409600,{c}\na.jpg,1 1,{c}\n" for c in (1, 2, 3, 4)),
    "2019": "ImageId_ClassId,EncodedPixels\n" + "".join(f"b.jpg_{c},1 1\na.jpg_{c},1 1\n" for c in (1, 2, 3, 4)),
}


@pytest.fixture
def attached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a session's data: a package without code and wheels, and a competition of two strips."""
    folder, working = tmp_path / "input", tmp_path / "working"
    competition = folder / "competitions" / "severstal"
    (competition / "test_images").mkdir(parents=True)
    for name in ("a.jpg", "b.jpg"):
        (competition / "test_images" / name).touch()
    (competition / "sample_submission.csv").write_text(SAMPLES["now"])
    (folder / "networks" / "wheels").mkdir(parents=True)
    (folder / "networks" / "package.json").write_text("{}")
    working.mkdir()
    monkeypatch.setenv("SEVERSTAL_INPUT", str(folder))
    monkeypatch.setenv("SEVERSTAL_WORKING", str(working))
    monkeypatch.setattr(sys, "path", [*sys.path])
    return folder


def run(*cells: str) -> dict[str, Any]:
    """Run cells in one namespace, which is returned."""
    names: dict[str, Any] = {}
    for cell in cells:
        exec(cell, names)
    return names


def assert_empty_and_valid(attached: Path) -> None:
    competition = attached / "competitions" / "severstal"
    paths = Paths(competition, competition, attached.parent / "working")
    counts = submission.check(paths.submission, submission.form_of(paths), 256, 1600)
    assert (counts.strips, counts.with_class) == (2, (0, 0, 0, 0))


@pytest.mark.parametrize("form", SAMPLES)
def test_the_first_cell_leaves_a_valid_submission_without_any_package(attached, form, monkeypatch) -> None:
    (attached / "competitions" / "severstal" / "sample_submission.csv").write_text(SAMPLES[form])
    with monkeypatch.context() as patch:
        for name in ("numpy", "pandas", "severstal"):
            patch.setitem(sys.modules, name, None)  # importing it is an error
        run(FOLDERS)
    assert_empty_and_valid(attached)


def test_a_session_in_which_a_package_cannot_be_imported_ends_with_empty_masks(attached, monkeypatch, capsys) -> None:
    monkeypatch.delitem(sys.modules, "severstal.kaggle.notebook_run", raising=False)
    monkeypatch.setitem(sys.modules, "severstal.inference.submission", None)
    monkeypatch.setitem(sys.modules, "severstal.commands", None)
    run(FOLDERS, INSTALL, PREDICT, SHOW)
    shown = capsys.readouterr()
    assert "severstal.commands" in shown.err, "the reason is printed"
    assert "NO ENGINE WORKED" in shown.out
    assert "8 rows, 0 with a defect" in shown.out
    assert_empty_and_valid(attached)


def test_the_wheel_of_this_python_is_installed_and_one_for_another_stops_nothing(
    attached, monkeypatch, capfd, tmp_path
) -> None:
    wheels, target = attached / "networks" / "wheels", tmp_path / "installed"
    this, other = (f"cp3{minor}" for minor in (sys.version_info.minor, sys.version_info.minor + 1))
    for name, tag in (("both", this), ("both", other), ("a_foreign", other)):
        write_wheel(wheels, name, tag)
    monkeypatch.setenv("PIP_TARGET", str(target))
    run(FOLDERS, INSTALL)
    assert {file.stem: file.read_text() for file in target.glob("*.py")} == {"both": this}
    assert "a_foreign==1.0 is not installed" in capfd.readouterr().out


def write_wheel(folder: Path, name: str, tag: str) -> None:
    """A wheel with one module, which holds the wheel's tag."""
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(folder / f"{name}-1.0-{tag}-none-any.whl", "w") as wheel:
        wheel.writestr(f"{name}.py", tag)
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}-none-any\n")
        wheel.writestr(f"{info}/RECORD", f"{name}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
