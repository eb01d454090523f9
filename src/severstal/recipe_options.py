"""The recipe on the command line: one option per value, and the table of --show-recipe."""

from __future__ import annotations

import argparse
import json
from typing import Any, Literal, get_args, get_origin

from severstal import recipe
from severstal.errors import InputError
from severstal.recipe import Recipe
from severstal.recipe_values import SourcedValues, option

PREFIX = "value_"  # of the values' names in the parsed options


def add_recipe_options(parser: argparse.ArgumentParser, without: tuple[str, ...] = ()) -> None:
    """Add ``--show-recipe`` and an option for every value of the recipe but those ``without``."""
    group = parser.add_argument_group("values of the recipe", "lists are written a,b and an empty list none")
    group.add_argument(
        "--show-recipe", action="store_true", help="print every value and where it comes from, and do nothing else"
    )
    for name, field in Recipe.model_fields.items():
        if name not in ("name", *without):
            group.add_argument(option(name), dest=PREFIX + name, metavar=_metavar(name), help=field.description)


def given_values(options: argparse.Namespace) -> dict[str, Any]:
    """The values given on this command line, and only those; they are not validated.

    Raises:
        InputError: for text that looks like JSON and is none.
    """
    found = {key.removeprefix(PREFIX): text for key, text in vars(options).items() if key.startswith(PREFIX)}
    return {name: parse_value(name, text) for name, text in found.items() if text is not None}


def parse_value(field: str, text: str) -> Any:
    """The text of an option as the field's raw value, which the model converts and checks.

    Lists are written ``a,b``, an empty one ``none``; encoders with values of their own are written as JSON:
    ``--encoders '{"resnet34": {"epochs": 60}}'``.
    """
    if text[:1] in ("{", "["):
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            raise InputError(f"{option(field)} is no valid JSON: {error}") from None
    if field == "encoders" or _is_list(field):
        return [] if text == "none" else [part.strip() for part in text.split(",")]
    return text  # pydantic reads numbers from text


def format_value(value: Any) -> str:
    """A value as :func:`parse_value` reads it."""
    if isinstance(value, dict):
        return json.dumps(value) if any(value.values()) else ",".join(value)
    if isinstance(value, list | tuple):
        return ",".join(map(str, value)) or "none"
    return str(value)


def table(values: SourcedValues) -> list[str]:
    """Lines of a table: each value of the recipe, what it is and where it comes from.

    Raises:
        InputError: if a value is wrong.
    """
    validated = recipe.build(values).model_dump()
    encoders = validated["encoders"]
    shown = validated | {"encoders": list(encoders)}  # their own values follow in rows of their own
    rows = [(name, format_value(value), values.label(name)) for name, value in shown.items() if name != "name"]
    for encoder, row in encoders.items():
        own = values.for_encoder(encoder)
        rows += [(f"  {encoder}: {name}", format_value(value), own.label(name)) for name, value in row.items()]
    rows = [("value", "is", "comes from"), *rows]
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    lines = [f"{name:{widths[0]}}  {value:{widths[1]}}  {source}" for name, value, source in rows]
    return [f"recipe {validated['name']}", "", *lines]


def _is_list(field: str) -> bool:
    return get_origin(Recipe.model_fields[field].annotation) is tuple


def _metavar(field: str) -> str:
    """What --help shows for the value: its choices, or its kind."""
    annotation: Any = Recipe.model_fields[field].annotation
    if get_origin(annotation) is Literal:
        return "|".join(get_args(annotation))
    if field == "encoders" or _is_list(field):
        return "A,B"
    return {int: "N", float: "X"}.get(annotation, "TEXT")
