"""An ensemble that keeps to a time budget: it measures its members, leaves out those that would not finish, and decides
again after every call, so that a member comes back where time is left.

A GPU's first calls load kernels and record CUDA graphs, which takes a hundred times longer than the calls that follow.
They are not measured. A member that was measured too slow all the same is tried again as long as that costs little.
"""

from __future__ import annotations

import logging

import numpy as np

from severstal.engines.outputs import Outputs
from severstal.inference.ensemble import WARM_UP_CALLS, Ensemble
from severstal.inference.time_budget import MemberTime, TimeBudget, fit_to_budget

logger = logging.getLogger(__name__)

MEASURED_STRIPS = 12  # strips after which the speed of each member is known well enough
MEASURING_SHARE = 0.1  # of the time limit, after which the first decision is made with the times that there are
RETURN_FACTOR = 1.1  # on the seconds of a member that was left out, so that noise does not bring it back and forth
TRIAL_CALLS = 16  # calls between two trials of members that were left out
TRIAL_SHARE = 0.2  # of the time to spare that one trial may cost


class BudgetedEnsemble:
    """Calls an ensemble and chooses its active members.

    Attributes:
        num_late: strips that were not predicted because the time was over.
    """

    def __init__(self, ensemble: Ensemble, budget: TimeBudget, num_strips: int, *, skip_late: bool = False) -> None:
        """Time every member from now on.

        Args:
            num_strips: strips to predict in all.
            skip_late: whether strips stay without a prediction once the time is over.
        """
        self._ensemble, self._budget, self._num_strips, self._skip_late = ensemble, budget, num_strips, skip_late
        self._limit = budget.remaining()
        self._calls = 0
        self._is_decided = False
        self._trial: int | None = None  # the member that the next call tries
        self._trials = [0] * len(ensemble.members)
        self._next_trial = 0  # the call from which on a trial may be made
        self._pace_start = (0, self._limit)  # strips, and seconds left, since which the pace is measured
        self._pace_warm_up = 0  # the call after which the pace is measured
        self._pace_factor = 1.0
        self.num_late = 0
        ensemble.time_members = True

    def __call__(self, strips: np.ndarray) -> Outputs | None:
        """Predict strips ``uint8 [N, H, W]``; None where the time is over and late strips are skipped.

        Raises:
            InputError: if not even the quickest member finishes in time and late strips are not skipped.
        """
        if self._skip_late and not self._budget.remaining():
            self.num_late += len(strips)
            return None
        if self._calls == WARM_UP_CALLS and not self._is_decided:
            self._ensemble.reset_times()
        outputs = self._ensemble(strips)
        self._calls += 1
        num_left = self._num_strips - self._ensemble.num_strips - self.num_late
        if num_left > 0:
            self._decide(num_left)
        return outputs

    def _decide(self, num_left: int) -> None:
        """Choose the members of the next call."""
        if self._trial is not None:
            self._use([index for index in self._ensemble.active if index != self._trial])
            self._trial, self._ensemble.time_members = None, False
        if not self._is_decided:
            self._decide_first(num_left)
        else:
            self._revise(num_left)

    def _decide_first(self, num_left: int) -> None:
        timed = min(member.timed_strips for member in self._ensemble.members)
        is_measured = self._calls > WARM_UP_CALLS and timed >= MEASURED_STRIPS
        if not is_measured and self._limit - self._budget.remaining() <= MEASURING_SHARE * self._limit:
            return
        # The times of first calls alone are no reason to refuse.
        or_quickest = self._skip_late or (not is_measured and self._budget.remaining() > 0)
        self._use(self._budget.select(self._ensemble.times(), num_left, or_quickest=or_quickest))
        self._is_decided, self._ensemble.time_members = True, False

    def _revise(self, num_left: int) -> None:
        """Leave out members that do not fit any more, bring back those that fit again, or try one that may."""
        self._measure_pace()
        times, active, remaining = self._ensemble.times(), self._ensemble.active, self._budget.remaining()
        seconds = [self._pace_factor * member.seconds * num_left for member in times]
        needed = sum(seconds[index] for index in active)
        if needed > remaining:
            fitting = self._budget.fitting(times, num_left, self._pace_factor)
            self._announce(fitting or [int(np.argmin(seconds))], times)
            return
        margins = [value if index in active else value * RETURN_FACTOR for index, value in enumerate(seconds)]
        fitting = fit_to_budget(margins, [member.encoder for member in times], remaining)
        if set(fitting) > set(active):
            self._announce(fitting, times)
        elif len(active) < len(times):
            self._plan_trial(times, remaining - needed)

    def _measure_pace(self) -> None:
        """Compare the clock with the members' times: it also counts decoding, and an average made on the device."""
        if self._calls <= self._pace_warm_up:
            self._pace_start = (self._ensemble.num_strips, self._budget.remaining())
            return
        strips, seconds_left = self._pace_start
        count = self._ensemble.num_strips - strips
        expected = sum(self._ensemble.times()[index].seconds for index in self._ensemble.active) * count
        if count >= MEASURED_STRIPS and expected > 0:
            self._pace_factor = (seconds_left - self._budget.remaining()) / expected

    def _plan_trial(self, times: list[MemberTime], to_spare: float) -> None:
        """Let the next call include the member that was tried least, if that costs little of the time to spare."""
        left_out = [index for index in range(len(times)) if index not in self._ensemble.active]
        candidate = min(left_out, key=lambda index: self._trials[index])
        calls = max(self._calls, 1)
        cost = times[candidate].seconds * self._ensemble.num_strips / calls
        if self._calls < self._next_trial or cost > TRIAL_SHARE * to_spare:
            return
        self._trial, self._next_trial = candidate, self._calls + TRIAL_CALLS
        self._trials[candidate] += 1
        self._ensemble.members[candidate].reset_time()
        self._ensemble.time_members = True
        self._use(sorted([*self._ensemble.active, candidate]))

    def _announce(self, indices: list[int], times: list[MemberTime]) -> None:
        """Go on with these members, and say so."""
        before, after = set(self._ensemble.active), set(indices)
        if before == after:
            return
        texts = [("there is time for", after - before), ("there is no time left for", before - after)]
        for text, changed in texts:
            if changed:
                logger.info("%s %s", text, ", ".join(times[index].name for index in sorted(changed)))
        self._use(indices)

    def _use(self, indices: list[int]) -> None:
        self._ensemble.use(indices)
        # An average made on a GPU loads and records its members anew: its first calls are no measure of the pace.
        self._pace_warm_up = self._calls + WARM_UP_CALLS
