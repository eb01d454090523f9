"""The Dockerfile, as far as it can be seen without building it: lint, what it copies, what it calls."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.commands import ROOT

DOCKERFILE = ROOT / "Dockerfile"
TEXT = DOCKERFILE.read_text(encoding="utf-8")


def test_the_linter_has_nothing_to_say() -> None:
    hadolint = shutil.which("hadolint") or shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if hadolint is None:
        pytest.skip("hadolint is not installed")
    done = subprocess.run([hadolint, str(DOCKERFILE)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_it_copies_and_calls_is_there() -> None:
    sources = [part for line in re.findall(r"^COPY (?:--\S+ )*(.*) \S+$", TEXT, re.M) for part in line.split()]
    assert sources
    for source in sources:
        assert source == "." or list(ROOT.glob(source))
    for script in re.findall(r"bin/\w+\.sh", TEXT):
        assert (ROOT / script).exists()


def test_setup_finds_a_complete_environment_in_the_layer_of_dependencies(tmp_path) -> None:
    """Only the files copied before it are there, no package: setup.sh must neither fail nor install anything."""
    (tmp_path / "bin").mkdir()
    for file in (*ROOT.glob("requirements*.txt"), ROOT / "requirements.lock", ROOT / "bin" / "setup.sh"):
        shutil.copy(file, tmp_path / file.relative_to(ROOT))
    checksum = "cat requirements*.txt requirements.lock | cksum"
    cksum = subprocess.run(checksum, shell=True, cwd=tmp_path, capture_output=True, text=True).stdout.strip()
    files = "-r requirements.txt -r requirements-kaggle.txt -r requirements-demo.txt"
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / ".complete").write_text(f"{cksum} {files} gpu=1\n")
    environment = {"PATH": "/usr/bin:/bin", "WITH_GPU": "1"}
    setup = subprocess.run(["bash", "bin/setup.sh"], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (setup.returncode, setup.stdout) == (0, ""), setup.stdout + setup.stderr


def test_data_and_results_stay_out_of_the_image() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert {".git", ".venv", "input/*", "folds/*", "submissions/*"} <= set(ignored)


def test_its_cuda_is_that_of_the_pinned_wheels() -> None:
    major = re.search(r"^FROM nvidia/cuda:(\d+)\.", TEXT, re.M).group(1)
    assert f"tensorrt-cu{major}==" in (ROOT / "requirements-gpu.txt").read_text(encoding="utf-8")
