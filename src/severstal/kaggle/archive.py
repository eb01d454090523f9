"""Unpacking of the competition's zip: resumable, and a file under its final name is whole."""

from __future__ import annotations

import shutil
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from severstal.errors import InputError


def unpack(archive: Path, folder: Path, there: list[Path]) -> None:
    """Unpack what is not there yet, each file under a temporary name first; reading checks each checksum.

    Args:
        there: images that lie in ``folder`` already, which must be the archive's.

    Raises:
        InputError: if the archive would write outside ``folder``, or beside images of another data set.
        BadZipFile, zlib.error, EOFError: if the archive is damaged.
    """
    with zipfile.ZipFile(archive) as opened:
        members = [member for member in opened.infolist() if not member.is_dir()]
        _check_names({member.filename for member in members}, archive, folder, there)
        print(f"unpacking {len(members)} files into {folder}", flush=True)
        for member in members:
            if not _is_same(folder / member.filename, member):
                _extract(opened, member, folder)


def _check_names(names: set[str], archive: Path, folder: Path, there: list[Path]) -> None:
    """Nothing is written outside ``folder``, nor beside images of another data set."""
    for path in map(PurePosixPath, names):
        if path.is_absolute() or ".." in path.parts:
            raise InputError(f"{archive} wants to write outside {folder} ({path}): fetch it anew from Kaggle")
    for image in there:
        if image.relative_to(folder).as_posix() not in names:
            raise InputError(f"{image} is not the competition's: move its folder away or use another --input")


def _is_same(path: Path, member: zipfile.ZipInfo) -> bool:
    if not path.is_file() or path.stat().st_size != member.file_size:
        return False
    return zlib.crc32(path.read_bytes()) == member.CRC


def _extract(opened: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path) -> None:
    target, part = folder / member.filename, folder / ".unpacking"
    target.parent.mkdir(parents=True, exist_ok=True)
    with opened.open(member) as source, part.open("wb") as sink:
        shutil.copyfileobj(source, sink)
    part.replace(target)
