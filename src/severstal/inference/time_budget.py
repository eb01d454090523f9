"""A time by which prediction has to be over: the ensemble is measured on the first strips, and cut to what finishes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from severstal.console import duration
from severstal.errors import InputError
from severstal.experiment import Member
from severstal.inference.prediction import Ensemble

MEASURED = 12  # strips after which it is known how long the rest will take
MARGIN = 1.05


@dataclass
class Deadline:
    """When prediction ends, and the members that get there.

    Attributes:
        ends: on the monotonic clock; None: whenever it is done.
        team: members of the ensemble that are still in it.
        say: prints a line.
    """

    ends: float | None
    members: list[Member]
    say: Callable[[str], None]

    def watch(self, batches: Iterable[list[str]], total: int, ensemble: Ensemble) -> Iterator[list[str]]:
        """Pass batches of ``total`` strips on; once some are through, keep what finishes of the ensemble.

        Raises:
            InputError: if not even the quickest member finishes.
        """
        if self.ends is None:
            yield from batches
            return
        decided = False
        for batch in batches:
            if not decided and ensemble.strips >= MEASURED:
                decided = True
                self._decide(ensemble, total - ensemble.strips)  # some were passed on and are not through yet
                ensemble.apart = False
            yield batch

    def _decide(self, ensemble: Ensemble, left: int) -> None:
        each = (ensemble.seconds / ensemble.strips * left * MARGIN).tolist()
        rest = self.ends - time.monotonic()
        kept = affordable(each, [member.encoder for member in self.members], rest)
        if len(kept) == len(self.members):
            self.say(f"{duration(sum(each))} to go, {duration(rest)} left: the whole ensemble finishes in time")
            return
        if not kept:
            quickest = self.members[int(np.argmin(each))].name
            raise InputError(
                f"no member of the ensemble finishes in the {duration(max(rest, 0))} that are left; the quickest, "
                f"{quickest}, takes {duration(min(each))}: give a longer --time-limit, or a faster --engine"
            )
        out = [member.name for number, member in enumerate(self.members) if number not in kept]
        self.say(
            f"the whole ensemble would take {duration(sum(each))} and {duration(rest)} are left: goes on without "
            f"{', '.join(out)}"
        )
        self.members = [self.members[number] for number in kept]
        ensemble.keep(kept)


def affordable(seconds: list[float], encoders: list[str], limit: float) -> list[int]:
    """Which members finish within the limit: one fold of each encoder in turn, as long as the next one fits.

    Unlike encoders add more to an ensemble than further folds of one, so they go first.

    Args:
        seconds: what each member would take for all strips.
        encoders: the encoder of each member.
        limit: seconds.
    """
    seen: dict[str, int] = {}
    turns = []
    for number, encoder in enumerate(encoders):
        seen[encoder] = seen.get(encoder, -1) + 1
        turns.append((seen[encoder], number))
    chosen, spent = [], 0.0
    for _, number in sorted(turns):
        if spent + seconds[number] <= limit:
            chosen.append(number)
            spent += seconds[number]
    return sorted(chosen)
