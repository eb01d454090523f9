"""Options that stages share: the three folders, and one option for every value of the recipe."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

from severstal.errors import InputError
from severstal.paths import Paths
from severstal.recipe import Recipe, parse_value

FIXED = {"name"}  # set by --recipe


def parser(description: str) -> argparse.ArgumentParser:
    """A parser that knows the three folders; abbreviations are refused, so a typo is an error."""
    made = argparse.ArgumentParser(description=description.split("\n")[0], allow_abbrev=False)
    where = made.add_argument_group("folders")
    for name in ("input", "folds", "submissions"):
        where.add_argument(f"--{name}", type=Path, default=getattr(Paths(), name), metavar="DIR")
    return made


def paths_of(options: argparse.Namespace) -> Paths:
    return Paths(options.input.resolve(), options.folds.resolve(), options.submissions.resolve())


def folder_options(paths: Paths) -> list[str]:
    """The options that name these folders on another command line."""
    named = {"--input": paths.input, "--folds": paths.folds, "--submissions": paths.submissions}
    return [part for option, folder in named.items() for part in (option, str(folder))]


def add_recipe_values(made: argparse.ArgumentParser, without: frozenset[str] = frozenset()) -> None:
    """Add ``--<value>`` for every value of the recipe (``--folds-count`` for the number of folds)."""
    group = made.add_argument_group("values of the recipe")
    for name, field in Recipe.model_fields.items():
        if name not in FIXED | without:
            group.add_argument(f"--{_option(name)}", dest=f"value_{name}", metavar="VALUE", help=field.description)


def recipe_values(options: argparse.Namespace) -> dict[str, Any]:
    """The values given on this command line, and only those."""
    given = {key.removeprefix("value_"): text for key, text in vars(options).items() if key.startswith("value_")}
    return {name: parse_value(name, text) for name, text in given.items() if text is not None}


def seconds_of(text: str) -> float:
    """Seconds of a length of time such as ``55m``, ``1h``, ``90s`` or ``1h30m``."""
    found = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", text)
    if not text or not found:
        raise InputError(f"{text!r} is no length of time: write it like 55m, 90s or 1h30m")
    hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return float(hours * 3600 + minutes * 60 + seconds)


def _option(name: str) -> str:
    # --folds is the folder.
    return "folds-count" if name == "folds" else name.replace("_", "-")
