"""The running ensemble: loaded networks, and the weighted mean of their answers."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from severstal.engines import catalog
from severstal.engines.base import BuildTimeout, Engine
from severstal.engines.outputs import Outputs, Predict
from severstal.errors import InputError
from severstal.experiment import Member
from severstal.inference.time_budget import MemberTime, TimeBudget, in_turns
from severstal.postprocess.ensemble_mean import mean_map

BUILD_SHARE = 0.4  # of a time budget, for building engines; the rest is for prediction
# Calls before a member's time means something. The first loads an engine's kernels, the second records a CUDA graph; of
# several TensorRT engines a later one may enlarge the scratch memory that all share, so that the earlier ones run
# directly in the second call and record in the third.
WARM_UP_CALLS = 3

logger = logging.getLogger(__name__)


@dataclass
class LoadedMember:
    """One network of a running ensemble.

    Attributes:
        engine: maps strips ``uint8 [N, H, W]`` to probabilities ``uint8 [N, 4, H, W]`` and ``uint8 [N, 4]``.
        weight: of its answers in the mean, a whole number from 1.
        name: such as ``resnet34 fold 0``.
        encoder: such as ``resnet34``.
        seconds: spent in the engine since the times were reset; counted only where members run one after another.
        timed_strips: strips that ``seconds`` were spent on.
        num_strips: strips that it has predicted.
    """

    engine: Engine
    weight: int = 1
    name: str = ""
    encoder: str = ""
    seconds: float = 0.0
    timed_strips: int = 0
    num_strips: int = 0

    def reset_time(self) -> None:
        """Forget the seconds measured so far, such as those of a runtime's slow first call."""
        self.seconds, self.timed_strips = 0.0, 0


class Ensemble:
    """Loaded networks whose answers are averaged.

    Attributes:
        members: the loaded networks.
        active: indices of those that are averaged; all, until :meth:`use` chooses.
        engine_class: class of the members' engines, if it averages them where they compute; None to average here.
        time_members: whether members run one after another, each timed, even where one call could run them all.
        num_strips: strips predicted so far.
    """

    def __init__(self, members: Sequence[LoadedMember], engine_class: type[Engine] | None = None) -> None:
        self.members = list(members)
        self.active = list(range(len(members)))
        self.engine_class = engine_class
        self.time_members = False
        self.num_strips = 0
        self._average: Predict | None = None

    def __call__(self, strips: np.ndarray) -> Outputs:
        """Average the members' answers.

        Args:
            strips: ``uint8 [N, H, W]``.

        Returns:
            Mean probability maps ``uint8 [N, 4, H, W]`` and mean class probabilities ``uint8 [N, 4]``.
        """
        self.num_strips += len(strips)
        members = self._active_members()
        for member in members:
            member.num_strips += len(strips)
        if self.engine_class is None or self.time_members or len(members) == 1:
            return _run_in_turn(members, strips)
        if self._average is None:
            self._average = self.engine_class.average([member.engine for member in members], _weights(members))
        return self._average(strips)

    def use(self, indices: Sequence[int]) -> None:
        """Average the members at ``indices`` from now on; the others stay loaded."""
        if list(indices) != self.active:
            self.active, self._average = list(indices), None

    def keep(self, indices: Sequence[int]) -> None:
        """Drop every member but those at ``indices``."""
        self.members = [self.members[index] for index in indices]
        self.active, self._average = list(range(len(self.members))), None

    def reset_times(self) -> None:
        """Forget the seconds that all members have needed so far."""
        for member in self.members:
            member.reset_time()

    def times(self) -> list[MemberTime]:
        """Mean time that each loaded member has needed for a strip since its time was last reset."""
        return [
            MemberTime(member.name, member.encoder, member.seconds / max(member.timed_strips, 1))
            for member in self.members
        ]

    def _active_members(self) -> list[LoadedMember]:
        return [self.members[index] for index in self.active]


def _run_in_turn(members: Sequence[LoadedMember], strips: np.ndarray) -> Outputs:
    answers = []
    for member in members:
        started = time.monotonic()
        answers.append(member.engine(strips))
        member.seconds += time.monotonic() - started
        member.timed_strips += len(strips)
    maps, class_probabilities = zip(*answers, strict=True)
    return mean_map(maps, _weights(members)), mean_map(class_probabilities, _weights(members))


def _weights(members: Sequence[LoadedMember]) -> list[int]:
    return [member.weight for member in members]


def load_ensemble(
    members: Sequence[Member], ensemble_weights: dict[str, int], engine: str, budget: TimeBudget | None = None
) -> Ensemble:
    """Load every member into the engine of this name.

    Args:
        ensemble_weights: of each encoder's answers in the mean, as tuned.
        budget: engines that have to be built on this machine are built in ``BUILD_SHARE`` of it, and members whose
            engine is not done by then are left out.

    Raises:
        InputError: if an engine's file is missing, damaged or not of the member's weights, or if none is built in time.
    """
    engine_class = catalog.engine_class(engine)
    engines = _load_within(engine_class, members, budget) if budget else [engine_class.load(item) for item in members]
    loaded = [
        LoadedMember(engine, ensemble_weights[member.encoder], member.name, member.encoder)
        for member, engine in zip(members, engines, strict=True)
        if engine is not None
    ]
    return Ensemble(loaded, engine_class if engine_class.averages_on_device else None)


def _load_within(engine_class: type[Engine], members: Sequence[Member], budget: TimeBudget) -> list[Engine | None]:
    """The engine of each member, None where the time for building was over; one fold of each encoder first."""
    building = TimeBudget.from_now(BUILD_SHARE * budget.remaining())
    engines: list[Engine | None] = [None] * len(members)
    late = []
    for index in in_turns([member.encoder for member in members]):
        try:
            engines[index] = engine_class.load_within(members[index], building.remaining())
        except BuildTimeout as error:
            late.append(members[index].name)
            logger.info("%s: %s", members[index].name, error)
    if len(late) == len(members):
        raise InputError(f"no {engine_class.name} engine was built in time: choose another --engine")
    if late:
        logger.info("%d of %d engines are ready; left out: %s", len(members) - len(late), len(members), ", ".join(late))
    return engines
