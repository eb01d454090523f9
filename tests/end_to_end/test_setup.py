"""bin/setup.sh: what makes it install, and what does not. A stand-in of uv records what it is asked to install."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from support.commands import ROOT

FILES = "-r requirements.txt -r requirements-kaggle.txt -r requirements-demo.txt"
UV = """#!/bin/sh
echo "$@${UV_NO_CACHE:+ without a cache}" >> "$(dirname "$0")/../installed"
"""
MAKES_ENVIRONMENTS = """#!/bin/sh
rm .venv/bin/python
cp .venv/bin/pip .venv/bin/python
"""


@pytest.fixture
def checkout(tmp_path) -> Path:
    """A checkout whose environment is complete and belongs to it."""
    folder = tmp_path / "checkout"
    (folder / "bin").mkdir(parents=True)
    sources = (*ROOT.glob("requirements*"), ROOT / "pyproject.toml", ROOT / "bin" / "setup.sh")
    for file in sources:
        shutil.copy(file, folder / file.relative_to(ROOT))
    binaries = folder / ".venv" / "bin"
    binaries.mkdir(parents=True)
    for name, text in (("uv", UV), ("python", UV), ("pip", UV), ("dask", f"#!{binaries}/python\n")):
        (binaries / name).write_text(text)
        (binaries / name).chmod(0o755)
    dependencies, package = (
        checksum(folder, files) for files in ("requirements*.txt requirements*.lock", "pyproject.toml")
    )
    (folder / ".venv" / ".complete").write_text(f"{dependencies} {FILES} gpu=1\n")
    (folder / ".venv" / ".package").write_text(f"{package} {folder}\n")
    return folder


def checksum(folder: Path, files: str) -> str:
    command = f"cat {files} | cksum"
    return subprocess.run(command, shell=True, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def run_setup(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {"PATH": "/usr/bin:/bin", "WITH_GPU": "1"} | environment  # the same with and without a GPU
    return subprocess.run(["bash", "bin/setup.sh"], cwd=folder, env=variables, capture_output=True, text=True)


def set_up(folder: Path, **environment: str) -> list[str]:
    """Run setup.sh; the lines of what it installed."""
    setup = run_setup(folder, **environment)
    assert setup.returncode == 0, setup.stdout + setup.stderr
    log = folder / ".venv" / "installed"
    return log.read_text().splitlines() if log.exists() else []


def test_the_lock_holds_every_required_version() -> None:
    files = [file for file in ROOT.glob("requirements*.txt") if "-gpu" not in file.name]
    pins = {line.split("#")[0].strip() for file in files for line in file.read_text(encoding="utf-8").splitlines()}
    pins = {re.sub(r"\[.*\]", "", pin) for pin in pins - {""}}  # a lock names no extras
    locks = [file.read_text(encoding="utf-8").splitlines() for file in ROOT.glob("requirements*.lock")]
    assert pins <= {line.split(";")[0].strip() for lock in locks for line in lock}, "run bash bin/lock.sh"


def test_a_complete_environment_is_left_alone(checkout) -> None:
    assert set_up(checkout) == []


@pytest.mark.parametrize("file", ["requirements.txt", "requirements.lock"])
def test_a_changed_requirement_is_installed_with_the_locked_versions(checkout, file) -> None:
    with (checkout / file).open("a") as opened:
        opened.write("# changed\n")
    installed = [line for line in set_up(checkout) if FILES in line]
    assert len(installed) == 1
    assert "--constraint requirements.lock" in installed[0]
    (checkout / ".venv" / "installed").unlink()
    assert set_up(checkout) == []


def test_a_moved_checkout_installs_its_package_again_and_mends_the_scripts_of_its_environment(checkout) -> None:
    moved = checkout.rename(checkout.with_name("moved"))
    (line,) = set_up(moved)
    assert "--editable ." in line
    assert "--no-deps" in line
    assert (moved / ".venv" / "bin" / "dask").read_text() == f"#!{moved}/.venv/bin/python\n"
    (moved / ".venv" / "installed").unlink()
    assert set_up(moved) == []


def test_an_environment_whose_python_is_gone_is_made_anew(checkout) -> None:
    python = checkout / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to("/usr/bin/python3.99")
    (checkout / "python3.11").write_text(MAKES_ENVIRONMENTS)
    (checkout / "python3.11").chmod(0o755)
    installed = set_up(checkout, PYTHON="./python3.11")
    assert any(FILES in line for line in installed)


def test_an_environment_that_is_a_link_to_another_checkouts_is_not_changed(checkout) -> None:
    other = checkout.with_name("other")
    shutil.copytree(checkout, other)
    shutil.rmtree(other / ".venv")
    (other / ".venv").symlink_to(checkout / ".venv")
    assert set_up(other) == []


@pytest.mark.parametrize("home", ["/proc/nowhere", None], ids=["a home that cannot be written to", "no home"])
def test_without_a_home_uv_goes_without_its_cache(checkout, home) -> None:
    (checkout / "pyproject.toml").write_text("changed")
    (line,) = set_up(checkout, **({"HOME": home} if home else {}))
    assert line.endswith("without a cache")


def test_packages_that_cannot_be_downloaded_name_the_proxy(checkout) -> None:
    uv = checkout / ".venv" / "bin" / "uv"
    uv.write_text("#!/bin/sh\nexit 1\n")
    (checkout / "requirements.txt").write_text("changed")
    failed = run_setup(checkout)
    assert failed.returncode == 2
    assert "behind a proxy set HTTPS_PROXY=" in failed.stderr.splitlines()[-1]


def test_a_checkout_on_windows_keeps_the_line_ends_of_unix() -> None:
    assert "* text=auto eol=lf" in (ROOT / ".gitattributes").read_text(encoding="utf-8")


def test_a_containers_layer_of_dependencies_is_complete_without_the_package(checkout) -> None:
    (checkout / "pyproject.toml").unlink()
    assert set_up(checkout) == []
