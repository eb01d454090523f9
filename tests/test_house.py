"""The rules of the house: who may import whom, thin stages, one place for TensorRT, no plain-text traps."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from conftest import ROOT

LIBRARY = sorted((ROOT / "src" / "severstal").rglob("*.py"))
STAGES = sorted((ROOT / "src").glob("*.py"))


def imports_of(path: Path) -> set[str]:
    """Dotted names of the modules that a file imports, wherever it does so."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT / "src").with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("path", LIBRARY + STAGES, ids=lambda path: path.name)
def test_a_file_opens_with_what_it_is_for(path: Path) -> None:
    text = path.read_text()
    assert not text.strip() or ast.get_docstring(ast.parse(text)), f"{path} has no docstring"


@pytest.mark.parametrize("path", LIBRARY + STAGES, ids=lambda path: path.name)
def test_nothing_imports_a_stage(path: Path) -> None:
    assert not imports_of(path) & {stage.stem for stage in STAGES}


def test_the_library_imports_run_one_way() -> None:
    modules = {module_of(path): path for path in LIBRARY}
    known = {name: {found for found in imports_of(path) if found in modules} for name, path in modules.items()}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join([*trail, name])
        if name not in done:
            for other in sorted(known[name] - {name, "severstal"}):
                visit(other, (*trail, name))
            done.add(name)

    for name in modules:
        visit(name, ())


def test_timm_and_smp_come_through_one_file() -> None:
    """Elsewhere they would be imported before the file that lets them be, beside a CPU-only torch."""
    names = ("timm", "segmentation_models_pytorch", "torchvision")
    naming = [path.name for path in LIBRARY + STAGES if {name.split(".")[0] for name in imports_of(path)} & set(names)]
    assert naming == ["vision.py"]


def test_tensorrt_and_pycuda_are_named_in_one_file_each() -> None:
    naming = [
        path.name
        for path in LIBRARY + STAGES
        if any(name.split(".")[0].startswith(("tensorrt", "pycuda")) for name in imports_of(path))
        or "import_module(name)" in path.read_text()
    ]
    assert naming == ["library.py", "pycuda_buffers.py"]


@pytest.mark.parametrize("stage", STAGES, ids=lambda path: path.stem)
def test_every_stage_has_its_script(stage: Path) -> None:
    script = ROOT / "bin" / f"{stage.stem}.sh"
    assert f"src/{stage.name}" in script.read_text()


@pytest.mark.parametrize("script", sorted((ROOT / "bin").glob("*.sh")), ids=lambda path: path.name)
def test_scripts_are_strict(script: Path) -> None:
    text = script.read_text()
    assert "set -euo pipefail" in text or "env.sh" in text


def test_weights_are_never_unpickled_freely() -> None:
    for path in LIBRARY + STAGES:
        text = path.read_text()
        assert "weights_only=False" not in text
        assert text.count("torch.load(") == text.count("weights_only=True"), path
