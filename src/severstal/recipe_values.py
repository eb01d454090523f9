"""Values of a recipe before they are validated, each with its source: a recipe file, or an option of a command line."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Source:
    """Where a value comes from.

    Attributes:
        label: as --show-recipe prints it, such as ``cpu.toml``.
        place: as errors name it, with the value's name, such as ``my.toml, line 3: epochs``.
    """

    label: str
    place: str


@dataclass(frozen=True)
class SourcedValues:
    """Values that are not validated yet, and where each comes from.

    Attributes:
        values: by field of the recipe.
        sources: by field; values of an encoder's table by ``encoders.NAME.FIELD``. A value without a source is allowed.
        origin: what errors name where a value has no source.
    """

    values: dict[str, Any]
    sources: dict[str, Source] = field(default_factory=dict)
    origin: str = "recipe"

    def updated(self, other: SourcedValues) -> SourcedValues:
        """These values, replaced by the other's where it has a value; encoders that it names keep their own values."""
        kept = {name: source for name, source in self.sources.items() if name.split(".")[0] not in other.values}
        named = _rows(other.values.get("encoders"))
        earlier = {encoder: row for encoder, row in _rows(self.values.get("encoders")).items() if encoder in named}
        for encoder, row in earlier.items():
            kept |= {f"encoders.{encoder}.{name}": self._source_of_row(encoder, name) for name in row}
        kept = {name: source for name, source in kept.items() if not _is_in(named, name)}
        rows = {encoder: earlier.get(encoder, {}) | row for encoder, row in named.items()}
        values = self.values | other.values | ({"encoders": rows} if rows else {})
        return SourcedValues(values, kept | other.sources, self.origin)

    def with_options(self, given: dict[str, Any], script: str = "the command line") -> SourcedValues:
        """These values, replaced by the options of a script, which count for every encoder.

        Where one command line sets a value both for all encoders and in ``--encoders`` for one, the one keeps its own.
        """
        updated = self.updated(command_line(given, script))
        rows, own = _rows(updated.values.get("encoders")), _rows(given.get("encoders"))
        kept = {
            encoder: {name: value for name, value in row.items() if name not in given or name in own.get(encoder, {})}
            for encoder, row in rows.items()
        }
        gone = {f"encoders.{encoder}.{name}" for encoder, row in rows.items() for name in row.keys() - kept[encoder]}
        sources = {name: source for name, source in updated.sources.items() if name not in gone}
        return SourcedValues(updated.values | ({"encoders": kept} if rows else {}), sources, self.origin)

    def for_encoder(self, encoder: str) -> SourcedValues:
        """The values of one encoder's networks: the encoder's own ones replace the recipe's."""
        row = _rows(self.values["encoders"]).get(encoder, {})
        sources = {"encoders": self.sources["encoders"]} if "encoders" in self.sources else {}
        for name in row:
            source = self._source_of_row(encoder, name)
            sources[name] = Source(f"[encoders.{encoder}] of {source.label}", source.place)
        others = SourcedValues({k: v for k, v in self.values.items() if k != "encoders"}, self.sources, self.origin)
        return others.updated(SourcedValues(row | {"encoders": {encoder: {}}}, sources))

    def _source_of_row(self, encoder: str, name: str) -> Source:
        """Where a value of an encoder's table comes from."""
        key = f"encoders.{encoder}.{name}"
        label = self.label(key) if key in self.sources else self.label("encoders")
        return Source(label, self.place(key))

    def label(self, name: str) -> str:
        """Where a value comes from, as --show-recipe prints it."""
        if name in self.sources:
            return self.sources[name].label
        return self.origin if name in self.values else "default"

    def place(self, name: str, table: str = "") -> str:
        """How an error names a value: by its source, or else by the origin.

        Args:
            name: a field, or what is nested in it, such as ``class_sampling.2``.
            table: what comes before the name where there is no source.
        """
        if name in self.sources:
            return self.sources[name].place
        top, _, nested = name.partition(".")
        if nested.isdigit():  # an entry of a list
            return f"{self.place(top, table)} entry {int(nested) + 1}"
        if top in self.sources:
            return f"{self.sources[top].place}.{nested}"
        return f"{self.origin}: {table}{name}"


def _rows(encoders: Any) -> dict[str, dict[str, Any]]:
    """The values of each encoder, from tables or a list of names; nothing where it is neither, which is found later."""
    if isinstance(encoders, list) and all(isinstance(name, str) for name in encoders):
        return {name: {} for name in encoders}
    is_tables = isinstance(encoders, dict) and all(isinstance(row, dict) for row in encoders.values())
    return dict(encoders) if is_tables else {}


def _is_in(rows: dict[str, dict[str, Any]], key: str) -> bool:
    """Whether the rows hold the value that ``encoders.NAME.FIELD`` names."""
    encoder, _, name = key.removeprefix("encoders.").rpartition(".")
    return key.startswith("encoders.") and name in rows.get(encoder, {})


def command_line(values: dict[str, Any], script: str = "the command line") -> SourcedValues:
    """Values that were given as options of a script, such as ``train.sh``."""
    return SourcedValues(values, {name: Source(f"{option(name)} of {script}", option(name)) for name in values})


def option(field: str) -> str:
    """The command-line option of a value."""
    return "--from" if field == "from_folds" else f"--{field.replace('_', '-')}"
