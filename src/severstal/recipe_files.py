"""Recipe files: TOML files of values, each of which may extend another.

The recipes that come with the project lie in ``recipes/``. A file holds names and values of
:class:`severstal.recipe.Recipe`, a table ``[encoders.NAME]`` per encoder, and ``extends`` where it starts from another
recipe: a name, or a path that is relative to the file. A value replaces the extended recipe's value. The encoders that
a file names, in tables or in a list, are those that are trained; each keeps the values of its table in the extended
recipe, and the file's own table replaces single ones.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from severstal.errors import InputError, did_you_mean
from severstal.recipe_values import Source, SourcedValues

FOLDER = Path(__file__).with_name("recipes")
PATH_FIELDS = ("pseudo_labels", "encoder_weights", "from_folds")
NO_FILE, IMAGENET = "none", "imagenet"  # values of these fields that are no paths
KEY = re.compile(r"""\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=""")
HEADER = re.compile(r"\s*\[[^\[\]]+\]")


def names() -> list[str]:
    """The recipes that come with the project."""
    return sorted(file.stem for file in FOLDER.glob("*.toml"))


def load(recipe: str) -> SourcedValues:
    """The values of a recipe and of those that it extends, with its name.

    Args:
        recipe: a name, or the path of a TOML file.

    Raises:
        InputError: if a file is missing or is no valid TOML, or if recipes extend each other in a circle.
    """
    chain = [locate(recipe, Path())]
    loaded = _read(chain[0], chain)
    origin = f"recipe {recipe}" if chain[0].parent == FOLDER else str(chain[0])
    if "name" in loaded.values:
        raise InputError(f"{loaded.place('name')}: a recipe is called like its file")
    return SourcedValues(loaded.values | {"name": chain[0].stem}, loaded.sources, origin)


def locate(recipe: str, folder: Path) -> Path:
    """The file of a recipe.

    Args:
        recipe: a name, or the path of a TOML file.
        folder: where a relative path starts.

    Raises:
        InputError: for an unknown name or a missing file, with near misses.
    """
    if "/" not in recipe and not recipe.endswith(".toml"):
        if recipe in names():
            return FOLDER / f"{recipe}.toml"
        known = f"there are {', '.join(names())}, and a file of your own is given by its path, such as ./my.toml"
        raise InputError(f"no recipe is called {recipe!r}{did_you_mean(recipe, names())}; {known}")
    path = folder / Path(recipe).expanduser()
    if not path.is_file():
        near = did_you_mean(path.name, [file.name for file in path.parent.glob("*.toml")])
        raise InputError(f"recipe {path} is missing{near}; recipes that come with the project: {', '.join(names())}")
    return path


def _read(file: Path, chain: list[Path]) -> SourcedValues:
    """One file's values over those of the recipe that it extends; ``chain`` is the way here, this file included."""
    text = _text(file)
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{file} is no valid TOML: {error}") from None
    lines = _lines(text)
    extends = values.pop("extends", None)
    own = SourcedValues(_absolute(values, file.parent), _sources(values, lines, file, chain[0]))
    if extends is None:
        return own
    place = _place(file, lines, "extends")
    if not isinstance(extends, str):
        raise InputError(f"{place}: must be the name or the path of one recipe, in quotes")
    try:
        base = locate(extends, file.parent)
    except InputError as error:
        raise InputError(f"{place}: {error}") from None
    if base.resolve() in [other.resolve() for other in chain]:
        circle = " extends ".join(other.name for other in [*chain, base])
        raise InputError(f"{place}: recipes extend each other in a circle ({circle}): remove one `extends`")
    return _read(base, [*chain, base]).updated(own)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{file} is no UTF-8 text: {error}") from None


def _absolute(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The values with paths that do not depend on the working folder."""
    tables = values.get("encoders")
    for table in (values, *(tables.values() if isinstance(tables, dict) else ())):
        for name in PATH_FIELDS:
            if isinstance(table, dict) and isinstance(table.get(name), str) and table[name] not in (NO_FILE, IMAGENET):
                table[name] = str((folder / Path(table[name]).expanduser()).resolve())
    return values


def _sources(values: dict[str, Any], lines: Mapping[str, int], file: Path, root: Path) -> dict[str, Source]:
    """A source for each value of a file; ``root`` is the file that was asked for."""
    rows, found = values.get("encoders"), list(values)
    for encoder, row in rows.items() if isinstance(rows, dict) else ():
        table = f"encoders.{encoder}"
        found += [f"{table}.{name}" for name in row] if isinstance(row, dict) else [table]
    shown = file.name if file.parent == FOLDER else str(file)
    label = shown if file == root else f"{shown} (extended by {root.name})"
    return {name: Source(label, _place(file, lines, name)) for name in found}


def _place(file: Path, lines: Mapping[str, int], name: str) -> str:
    """The file, the line where it is known, and the name of a value."""
    number = lines.get(name) or lines.get(name.rpartition(".")[0])
    return f"{file}, line {number}: {name}" if number else f"{file}: {name}"


def _lines(text: str) -> dict[str, int]:
    """The line of each key and table header, by dotted name."""
    found: dict[str, int] = {}
    table: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if header := HEADER.match(line):
            table = _keys(header[0])
            found.setdefault(".".join(table), number)
        elif key := KEY.match(line):
            found.setdefault(".".join([*table, *_keys(f"{key[1]} = 0")]), number)
    return found


def _keys(line: str) -> list[str]:
    """The nested keys that one line of TOML writes; empty where the line is none alone."""
    try:
        tree: Any = tomllib.loads(line)
    except tomllib.TOMLDecodeError:  # a line of an array that goes over several lines
        return []
    keys = []
    while isinstance(tree, dict) and tree:
        key, tree = next(iter(tree.items()))
        keys.append(key)
    return keys
