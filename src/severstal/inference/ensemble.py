"""The running ensemble: loaded networks, and the weighted mean of their answers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from severstal.engines import catalog
from severstal.engines.base import Engine, Outputs, Predict
from severstal.experiment import Member
from severstal.inference.time_budget import MemberTime
from severstal.postprocess.ensemble_mean import mean_map


@dataclass
class LoadedMember:
    """One network of a running ensemble.

    Attributes:
        engine: maps strips ``uint8 [N, H, W]`` to probabilities ``uint8 [N, 4, H, W]`` and ``uint8 [N, 4]``.
        weight: of its answers in the mean, a whole number from 1.
        name: such as ``resnet34 fold 0``.
        encoder: such as ``resnet34``.
        seconds: spent in the engine so far; counted only where the members run one after another.
    """

    engine: Engine
    weight: int = 1
    name: str = ""
    encoder: str = ""
    seconds: float = 0.0


class Ensemble:
    """Loaded networks whose answers are averaged.

    Attributes:
        members: the networks that are averaged.
        engine_class: class of the members' engines, if it averages them where they compute; None to average here.
        time_members: whether members run one after another, each timed, even where one call could run them all.
        num_strips: strips predicted so far.
        timed_strips: strips that the members' ``seconds`` were spent on.
    """

    def __init__(
        self, members: Sequence[LoadedMember], engine_class: type[Engine] | None = None, time_members: bool = False
    ) -> None:
        self.members = list(members)
        self.engine_class = engine_class
        self.time_members = time_members
        self.num_strips = 0
        self.timed_strips = 0
        self._average: Predict | None = None

    def __call__(self, strips: np.ndarray) -> Outputs:
        """Average the members' answers.

        Args:
            strips: ``uint8 [N, H, W]``.

        Returns:
            Mean probability maps ``uint8 [N, 4, H, W]`` and mean class probabilities ``uint8 [N, 4]``.
        """
        self.num_strips += len(strips)
        if self.engine_class is None or self.time_members or len(self.members) == 1:
            return self._run_in_turn(strips)
        if self._average is None:
            self._average = self.engine_class.average([member.engine for member in self.members], self._weights())
        return self._average(strips)

    def keep(self, indices: Sequence[int]) -> None:
        """Drop every member but those at ``indices``."""
        self.members = [self.members[index] for index in indices]
        self._average = None

    def reset_times(self) -> None:
        """Forget the seconds measured so far, such as those of a runtime's slow first call."""
        self.timed_strips = 0
        for member in self.members:
            member.seconds = 0.0

    def times(self) -> list[MemberTime]:
        """Mean time that each member has needed for a strip since the times were last reset."""
        return [
            MemberTime(member.name, member.encoder, member.seconds / max(self.timed_strips, 1))
            for member in self.members
        ]

    def _run_in_turn(self, strips: np.ndarray) -> Outputs:
        self.timed_strips += len(strips)
        answers = []
        for member in self.members:
            started = time.monotonic()
            answers.append(member.engine(strips))
            member.seconds += time.monotonic() - started
        maps, class_probabilities = zip(*answers, strict=True)
        return mean_map(maps, self._weights()), mean_map(class_probabilities, self._weights())

    def _weights(self) -> list[int]:
        return [member.weight for member in self.members]


def load_ensemble(
    members: Sequence[Member], ensemble_weights: dict[str, int], engine: str, time_members: bool = False
) -> Ensemble:
    """Load every member into the engine of this name.

    Args:
        ensemble_weights: of each encoder's answers in the mean, as tuned.

    Raises:
        InputError: if an engine's file is missing, damaged or not of the member's weights.
    """
    engine_class = catalog.engine_class(engine)
    loaded = [
        LoadedMember(engine_class.load(member), ensemble_weights[member.encoder], member.name, member.encoder)
        for member in members
    ]
    return Ensemble(loaded, engine_class if engine_class.averages_on_device else None, time_members)
