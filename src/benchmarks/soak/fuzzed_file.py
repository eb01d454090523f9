"""The base of what is fuzzed: a file of a finished experiment, how the project reads it, and its oracle."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from severstal import recipe
from severstal.data import strips
from severstal.experiment import Member, all_members
from severstal.paths import Paths


class Wrong(Exception):
    """A file that was accepted holds something else than what was read."""


def expect(is_right: bool, problem: str) -> None:
    if not is_right:
        raise Wrong(problem)


class FuzzedFile(ABC):
    """A file of a finished experiment.

    Attributes:
        path: of the file, which is overwritten.
    """

    path: Path

    def __init__(self, paths: Paths) -> None:
        self.paths = paths
        self.member: Member = all_members(paths, recipe.read(paths))[0]
        self.strip = paths.test_images / strips.listing(paths.test_images)[0]

    def load(self) -> None:  # noqa: B027 - most files need nothing
        """What has to be done once, before the limits are set."""

    @abstractmethod
    def read(self) -> Any:
        """The file's content, as the project reads it."""

    @abstractmethod
    def check(self, value: Any) -> None:
        """Raise :class:`Wrong` if a value is not what the file holds."""
