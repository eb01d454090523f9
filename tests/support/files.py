"""Files of a folder, as a whole: what is in them, and how they are damaged."""

from __future__ import annotations

from pathlib import Path


def contents(folder: Path) -> dict[Path, bytes]:
    """Every file below a folder, with its bytes."""
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def cut_in_half(file: Path) -> None:
    """Leave the first half of a file, as a copy that broke off does."""
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
