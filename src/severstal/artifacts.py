"""Files that exist only when complete, and fingerprints that tell whether they are up to date."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from severstal.errors import InputError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside ``path``; on success it takes the place of ``path``, else it is gone.

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
        if error.filename in (None, str(temporary)):  # a write that fails does not tell in which file
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2) + "\n")


def read_json(path: Path, made_by: str) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        InputError: if it is missing (naming ``made_by``, the command that makes it) or no JSON object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} is missing: make it with `{made_by}`") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no valid JSON ({error}): delete it and run `{made_by}`") from None
    if not isinstance(value, dict):
        raise InputError(f"{path} holds no JSON object: delete it and run `{made_by}`")
    return value


def fingerprint(*parts: Any) -> str:
    """Short hash of values that JSON can write; equal values give equal hashes in every run."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def file_hash(path: Path) -> str:
    """Short hash of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def listing_hash(folder: Path, names: list[str]) -> str:
    """Short hash of names and sizes: reading 1.6 GB of JPEG at every start would cost more than it tells."""
    return fingerprint([(name, (folder / name).stat().st_size) for name in names])
