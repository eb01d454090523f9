"""The files of an experiment as values that can be compared: bytes, and JSON without what the clock decides."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

# Keys of JSON files: what the clock decides, and hashes of files that hold such; the files themselves are compared.
TIMED = re.compile(r"created|seconds|loading_share|strips_per_second|finished|times|took|cached_from")
NOT_COMPARED = ("tensorboard", "report.html", "times.json", "__pycache__", "kaggle/dataset/code")


def contents_of(folder: Path) -> dict[str, Any]:
    """The content of every file below a folder that is compared, by the file's name in it."""
    files = {file.relative_to(folder).as_posix(): file for file in sorted(folder.rglob("*")) if file.is_file()}
    return {name: content_of(file) for name, file in files.items() if not any(part in name for part in NOT_COMPARED)}


def content_of(file: Path) -> Any:
    """The bytes of a file, or the values of JSON without seconds; of a hidden file only that it is there."""
    if file.name.startswith("."):
        return "hidden"
    if file.suffix not in (".json", ".jsonl"):
        return file.read_bytes()
    text = file.read_text(encoding="utf-8")
    return [without_times(json.loads(line)) for line in (text.splitlines() if file.suffix == ".jsonl" else [text])]


def without_times(value: Any) -> Any:
    """A value of JSON without keys whose values depend on the clock, and without hashes of files that hold such."""
    if isinstance(value, dict):
        return {key: without_times(entry) for key, entry in value.items() if not TIMED.search(key)}
    return [without_times(entry) for entry in value] if isinstance(value, list) else value


def differences(found: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    """A text for each file that differs, is missing, or is one too many; empty if all are as expected."""
    texts = [f"{name} missing" for name in expected.keys() - found.keys()]
    texts += [f"{name} left over" for name in found.keys() - expected.keys()]
    both = [name for name in found.keys() & expected.keys() if found[name] != expected[name]]
    return sorted(texts + [f"{name} differs{_place(found[name], expected[name])}" for name in both])


def _place(found: Any, expected: Any) -> str:
    """Where two values of JSON differ first, such as ``[0].dice: 0.4, not 0.5``; empty for bytes."""
    if isinstance(found, dict) and isinstance(expected, dict):
        names = sorted(found.keys() | expected.keys())
        pairs = [(f".{name}", found.get(name), expected.get(name)) for name in names]
    elif isinstance(found, list) and isinstance(expected, list) and len(found) == len(expected):
        pairs = [(f"[{number}]", *pair) for number, pair in enumerate(zip(found, expected, strict=True))]
    else:
        return "" if isinstance(found, bytes) else f": {str(found)[:80]}, not {str(expected)[:80]}"
    return next((place + _place(ours, theirs) for place, ours, theirs in pairs if ours != theirs), "")
