"""What all tests share: real data where it lies beside the repository, a small experiment, a browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.commands import ROOT
from support.experiments import write_tiny
from support.exported_run import write_exported
from support.pseudo_labelled_run import write_pseudo_labelled

from severstal.paths import Paths

REAL = ROOT.parent / "shared" / "data"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real strips and masks, which is not part of the repository."""
    if not REAL.is_dir():
        pytest.skip(f"real strips and masks are not at {REAL}")
    return REAL


@pytest.fixture
def tiny(tmp_path: Path) -> Paths:
    """An experiment of twelve 64x96 strips in two folds, with its recipe and split, nothing trained."""
    return write_tiny(tmp_path)


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    """Two exported networks with tuned values, and three test strips; tests write into other folders than these."""
    return write_exported(tmp_path_factory.mktemp("exported"))


@pytest.fixture(scope="session")
def pseudo_labelled(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    """A tuned run that has labelled its test strips; tests write into other folders than these."""
    return write_pseudo_labelled(tmp_path_factory.mktemp("pseudo"))


@pytest.fixture(scope="session")
def browser() -> Iterator:
    """A headless Chromium: the one that is installed."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("no Chromium is installed: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        # Chromium refuses to run as root with its sandbox; these pages are the repository's own.
        launched = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield launched
        launched.close()
