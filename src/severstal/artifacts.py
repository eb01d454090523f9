"""Files that exist only when they are complete, hashes of their content, and the check whether a result is cached.

Every stage checks its results in the same way: it describes them as an :class:`Artifact` (files, inputs, version of the
method) and builds them only where :meth:`Artifact.differences` finds one.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from severstal.errors import InputError

CACHED_FROM = "cached_from"  # the key of a record that says what its artifact was built from
HASH = re.compile(r"[0-9a-f]{16}")
M = TypeVar("M", bound=BaseModel)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success the file there replaces ``path``, otherwise it is deleted.

    The file is synced before it is renamed, so a power cut leaves the old file or the new one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        if error.filename in (None, str(temporary)):  # the error of a failed write does not name the file
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def temporary_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder beside ``path``, which is deleted at the end unless it was renamed."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.mkdir(parents=True)
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yield an empty temporary folder beside ``path``; on success it replaces ``path``, otherwise it is deleted."""
    with temporary_folder(path) as temporary:
        yield temporary
        if path.exists():
            with temporary_folder(path.with_name(f"{path.name}.replaced")) as replaced:
                path.rename(replaced / path.name)
                temporary.rename(path)
        else:
            temporary.rename(path)


def write_text(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2) + "\n")


def read_json(path: Path, command: str) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        InputError: if the file is missing or holds no JSON object; the message names ``command``, which writes it.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} is missing: make it with `{command}`") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no valid JSON ({error}): delete it and run `{command}`") from None
    if not isinstance(value, dict):
        raise InputError(f"{path} holds no JSON object: delete it and run `{command}`")
    return value


def read_model(path: Path, model: type[M], command: str) -> M:
    """The content of a JSON file as a validated model.

    Raises:
        InputError: if the file is missing or damaged, or holds values that the model refuses: each is named.
    """
    values = read_json(path, command)
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems = "; ".join(f"{name}: {text}" if name else text for name, text in validation_problems(error))
        raise InputError(f"{path}: {problems}: delete it and run `{command}`") from None


def validation_problems(error: ValidationError) -> list[tuple[str, str]]:
    """What a model refused: for each value its dotted name and what is wrong with it.

    The name is empty where a rule concerns several values; the text then names them.
    """
    return [
        (".".join(map(str, problem["loc"])), problem["msg"].removeprefix("Value error, ")) for problem in error.errors()
    ]


def fingerprint(*parts: Any) -> str:
    """Short hash of values that JSON can write; equal values give equal hashes in every run."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def file_hash(path: Path) -> str:
    """Short hash of a file's content."""
    return file_sha256(path)[:16]


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def listing_hash(folder: Path, names: list[str]) -> str:
    """Short hash of the names and sizes of files; hashing the content of 1.6 GB of JPEG at every start is too slow."""
    return fingerprint([(name, (folder / name).stat().st_size) for name in names])


@dataclass(frozen=True)
class Artifact:
    """Files that a stage builds together, and the record of what they were built from.

    Attributes:
        record: JSON file that is written last; its key ``cached_from`` holds the inputs, the version and a hash of
            each file.
        inputs: everything that decides the files' content, by name: hashes and other values that JSON can write.
        version: of the method; raise it when the same inputs give other files.
        files: the files beside the record.
    """

    record: Path
    inputs: Mapping[str, Any]
    version: int = 1
    files: tuple[Path, ...] = ()

    def is_cached(self) -> bool:
        """Whether the files on disk are those that building them now would give."""
        return not self.differences()

    def differences(self) -> list[str]:
        """Why the files have to be built, such as ``weights changed``; empty where they are cached."""
        if not self.record.exists():
            return [f"{self.record.name} is missing"]
        try:
            known = read_json(self.record, "").get(CACHED_FROM, {})
        except InputError:
            known = {}
        if known is None:
            return ["the earlier result is incomplete"]
        if not isinstance(known, dict) or not isinstance(known.get("inputs"), dict):
            return [f"{self.record.name} does not say what it was built from"]
        if known.get("version") != self.version:
            return ["another version of the program built it"]
        return changes(known["inputs"], self.inputs) or self._file_differences(known.get("files"))

    def write_record(self, facts: Mapping[str, Any] | None = None, *, complete: bool = True) -> None:
        """Write the record, after the files.

        Args:
            facts: other keys of the record.
            complete: False for a result that the same command should try to improve on; it is never cached.
        """
        files = {self._name(file): file_hash(file) for file in self.files}
        known = {"version": self.version, "inputs": dict(self.inputs), "files": files}
        write_json(self.record, dict(facts or {}) | {CACHED_FROM: known if complete else None})

    def _file_differences(self, known: Any) -> list[str]:
        names = {self._name(file): file for file in self.files}
        missing = [f"{file.name} is missing" for file in self.files if not file.exists()]
        if missing or not isinstance(known, dict):
            return missing or [f"{self.record.name} does not say what it was built from"]
        return [
            f"{file.name} is not the file that was built"
            for name, file in names.items()
            if known.get(name) != file_hash(file)
        ]

    def _name(self, file: Path) -> str:
        return Path(os.path.relpath(file, self.record.parent)).as_posix()


def changes(known: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """What differs between recorded inputs and those of now, in words; empty where they are equal.

    Short values are shown (``engine torch, now openvino``), hashes and lists are not (``weights changed``). Of nested
    inputs the name is given with its group: ``members: resnet34 fold 0 changed``.
    """
    wanted = json.loads(json.dumps(wanted, default=str))
    found = []
    for name in dict.fromkeys([*known, *wanted]):
        old, new = known.get(name), wanted.get(name)
        if old == new:
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            found += [f"{name}: {change}" for change in changes(old, new)]
        elif name not in wanted or name not in known:
            found.append(f"{name} is new" if name in wanted else f"{name} is gone")
        else:
            shown = all(_is_short(value) for value in (old, new))
            found.append(f"{name} {old}, now {new}" if shown else f"{name} changed")
    return found


def _is_short(value: Any) -> bool:
    return not isinstance(value, dict | list) and not HASH.fullmatch(str(value)) and len(str(value)) <= 60
