"""Refuses to train a network again that was trained, wholly or partly, with other values or on other data.

Hours of work are neither replaced nor silently used in place of what is asked for: the error names the differences and
a command for each way out.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from severstal import recipe
from severstal.commands import command, short
from severstal.data.training_set import TrainingSet
from severstal.errors import InputError
from severstal.experiment import Member, training_values
from severstal.recipe import EXPERIMENT, Recipe
from severstal.recipe_options import format_value
from severstal.recipe_values import option


class Wanted(Protocol):
    """A network and what it is to be trained with: a :class:`severstal.training.job.Job`."""

    @property
    def member(self) -> Member: ...
    @property
    def data(self) -> TrainingSet: ...
    @property
    def recipe(self) -> Recipe: ...
    @property
    def given(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Difference:
    """How a network on disk differs from what is asked for.

    Attributes:
        values: by field of the recipe: the value that it was trained with, and the one asked for.
        data: whether the labels, strips, split, pseudo-labels or the networks of --from are others, unless ``values``
            names another folder of pseudo-labels or of --from, which explains it.
    """

    values: dict[str, tuple[Any, Any]]
    data: bool

    def __str__(self) -> str:
        changes = [f"{name} {format_value(old)} -> {format_value(new)}" for name, (old, new) in self.values.items()]
        if self.data:
            changes.append("the labels, the strips, the split, the pseudo-labels or the networks of --from changed")
        return ", ".join(changes)

    @property
    def trained(self) -> dict[str, Any]:
        """The values that it was trained with, where they differ."""
        return {name: old for name, (old, _) in self.values.items()}


def difference(wanted: Wanted) -> Difference | None:
    """What differs, or None for the same values and data, and where no epoch was finished yet."""
    files = wanted.member.files
    if not files.config.exists() or not (files.weights.exists() or files.checkpoint.exists()):
        return None
    config = wanted.member.config()
    data = config.data != wanted.data.fingerprint
    before, now = config.recipe, wanted.recipe
    old, new = training_values(before), training_values(now)
    names = [name for name in Recipe.model_fields if old.get(name) != new.get(name)]
    folders = [name for name in ("pseudo_labels", "from_folds") if getattr(before, name) != getattr(now, name)]
    if data and folders:
        names, data = [*names, *folders], False
    if not names and not data:
        return None
    return Difference({name: (getattr(before, name), getattr(now, name)) for name in names}, data)


def refuse_changes(jobs: Sequence[Wanted], keep: str | None = None) -> None:
    """Check that no job would replace a network.

    Args:
        keep: how to keep the networks that are there; by default the commands that ask for their values.

    Raises:
        InputError: for the networks that differ as the first one does, with the number of the others.
    """
    found = [(job, different) for job in jobs if (different := difference(job))]
    if not found:
        return
    first = found[0][1]
    alike = [job for job, different in found if different == first]
    names = ", ".join(job.member.name for job in alike)
    lines = [
        f"{names}: trained with other values or data than are asked for now ({first})",
        *_cures(alike, first, keep),
    ]
    if len(found) > len(alike):
        lines.append(f"{len(found) - len(alike)} more of the networks asked for differ in other values")
    raise InputError("\n   ".join(lines))


def _cures(jobs: Sequence[Wanted], different: Difference, keep: str | None) -> list[str]:
    """A line for each way out."""
    folders = " ".join(shlex.quote(short(job.member.files.folder)) for job in jobs)
    anew = f"to train anew:  rm -r {folders}"
    if keep:
        return [f"to keep what is there:  {keep}", anew]
    if different.data:
        return ["to keep what is there:  give this data a folder of its own, --folds DIR", anew]
    lines = []
    if not any(name in EXPERIMENT for name in different.values):
        lines.append(f"to keep what is there, give its values again:  {_train_command(jobs, different)}")
    remember = _recipe_command(jobs, different)
    if remember:
        lines.append(f"to use its values in every run:  {remember}")
    return [*lines, anew]


def _train_command(jobs: Sequence[Wanted], different: Difference) -> str:
    """The command with the values of the networks on disk; it stands for each of several networks."""
    member = jobs[0].member
    which = (member.encoder, member.fold) if len(jobs) == 1 else ("ENCODER", "FOLD")
    values = {name: getattr(jobs[0].recipe, name) for name in jobs[0].given} | different.trained
    return command(member.paths, "train", *which, *_options(values))


def _recipe_command(jobs: Sequence[Wanted], different: Difference) -> str | None:
    """The command that puts the values into the recipe; None where it has them."""
    paths = jobs[0].member.paths
    chosen = recipe.read(paths)
    encoders = {job.member.encoder for job in jobs}
    planned = [chosen.for_encoder(encoder) for encoder in encoders]
    values = {
        name: value
        for name, value in different.trained.items()
        if any(getattr(recipe_of_one, name) != value for recipe_of_one in planned)
    }
    if not values:
        return None
    has_own = any(name in row for row in chosen.encoders.values() for name in values)
    if any(name in EXPERIMENT for name in values) or (encoders == set(chosen.encoders) and not has_own):
        return command(paths, "make_folds", *_options(values))
    rows = {name: row | values if name in encoders else row for name, row in chosen.encoders.items()}
    return command(paths, "make_folds", *_options({"encoders": rows}))


def _options(values: dict[str, Any]) -> list[str]:
    return [text for name, value in values.items() for text in (option(name), format_value(value))]
