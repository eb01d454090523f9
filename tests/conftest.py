"""What all tests share: real data where it lies beside the repository, small experiments and runs, a browser.

What writes the runs is imported by the fixtures themselves: it imports torch and more, which takes seconds that
pytest's controlling process and the tests of a package without torch do not need.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.built_once import built_once
from support.commands import ROOT

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
    from support.experiments import write_tiny

    return write_tiny(tmp_path)


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    """Two exported networks with tuned values, and three test strips; tests write into other folders than these."""
    from support.exported_run import write_exported

    return Paths.under(built_once(tmp_path_factory, "exported", write_exported))


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    """Four networks that look trained, their tuned values and a submission; tests write into copies of it."""
    from support.finished_run import write_finished

    return Paths.under(built_once(tmp_path_factory, "finished", write_finished))


@pytest.fixture(scope="session")
def pseudo_labelled(finished: Paths, tmp_path_factory: pytest.TempPathFactory) -> Paths:
    """A tuned run that has labelled its test strips; tests write into other folders than these."""
    from support.pseudo_labelled_run import write_pseudo_labelled

    # Pseudo-labels name the folder of their strips, so a copy would read those of the original.
    return write_pseudo_labelled(finished, tmp_path_factory.mktemp("pseudo_labelled"))


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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files with the most slow tests first, so that pytest's processes end at about the same time."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    order = {path: (-slow[path], place) for place, path in enumerate(dict.fromkeys(item.path for item in items))}
    items.sort(key=lambda item: order[item.path])
