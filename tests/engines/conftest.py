"""What the tests of engines share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.built_once import built_once
from support.experiments import SMALLEST
from support.scored_member import RULES, SIZE, copy_member, write_scored_member

from severstal.data.training_set import read_training_set
from severstal.engines.dice_check import FoldScorer
from severstal.experiment import Member
from severstal.paths import Paths


@pytest.fixture(scope="session")
def member(tmp_path_factory: pytest.TempPathFactory) -> Member:
    """An exported network of random weights with its out-of-fold maps; nothing is written into its folder."""
    root = built_once(tmp_path_factory, "scored_member", write_scored_member)
    return Member(Paths.under(root), SMALLEST, 0)


@pytest.fixture
def fresh_member(member: Member, tmp_path: Path) -> Member:
    """The same network in a folder of its own, without engines."""
    return copy_member(member, tmp_path)


@pytest.fixture
def fold(fresh_member: Member) -> FoldScorer:
    return FoldScorer(fresh_member, read_training_set(fresh_member.paths), RULES)


@pytest.fixture(scope="session")
def strips() -> np.ndarray:
    """Five strips of noise."""
    return np.random.default_rng(0).integers(0, 256, (5, *SIZE), dtype=np.uint8)
