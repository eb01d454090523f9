"""The Dockerfile, as far as it can be checked without building it: lint, what it copies, what it calls."""

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


def test_hadolint_finds_nothing() -> None:
    hadolint = shutil.which("hadolint") or shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if hadolint is None:
        pytest.skip("hadolint is not installed")
    done = subprocess.run([hadolint, str(DOCKERFILE)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_file_that_it_copies_and_script_that_it_calls_exists() -> None:
    sources = [part for line in re.findall(r"^COPY (?:--\S+ )*(.*) \S+$", TEXT, re.M) for part in line.split()]
    assert sources
    for source in sources:
        assert source == "." or list(ROOT.glob(source))
    for script in re.findall(r"bin/\w+\.sh", TEXT):
        assert (ROOT / script).exists()


def test_data_and_results_stay_out_of_the_image() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert {".git", ".venv", "input/*", "folds/*", "submissions/*"} <= set(ignored)


def test_the_images_cuda_is_that_of_the_pinned_wheels() -> None:
    major = re.search(r"^FROM nvidia/cuda:(\d+)\.", TEXT, re.M).group(1)
    assert f"tensorrt-cu{major}==" in (ROOT / "requirements-gpu.txt").read_text(encoding="utf-8")
