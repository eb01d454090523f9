"""What the tests of Kaggle share: a stand-in for its site, and stages that talk to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.kaggle_stages import StageRunner
from support.kaggle_stand_in import StandIn


@pytest.fixture
def site() -> Iterator[StandIn]:
    with StandIn() as stand_in:
        yield stand_in


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty home folder, without credentials."""
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@pytest.fixture
def runner(home: Path, monkeypatch: pytest.MonkeyPatch) -> StageRunner:
    return StageRunner(home, monkeypatch)
