"""Unpacking of the competition's zip: it can be resumed, and a file under its final name is complete."""

from __future__ import annotations

import logging
import shutil
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from severstal.errors import InputError

logger = logging.getLogger(__name__)


def unpack(archive: Path, folder: Path, images: list[Path]) -> None:
    """Unpack every file that is not in ``folder`` with the right content, through a temporary name.

    Args:
        images: images that are in ``folder`` already; each must belong to the archive.

    Raises:
        InputError: if the archive would write outside ``folder``, or beside images of another data set.
        BadZipFile, zlib.error, EOFError: if the archive is damaged (each file's checksum is compared).
    """
    with zipfile.ZipFile(archive) as opened:
        members = [member for member in opened.infolist() if not member.is_dir()]
        _check_names({member.filename for member in members}, archive, folder, images)
        logger.info("unpacking %d files into %s", len(members), folder)
        for member in members:
            if not _is_unpacked(folder / member.filename, member):
                _extract(opened, member, folder)


def _check_names(names: set[str], archive: Path, folder: Path, images: list[Path]) -> None:
    for path in map(PurePosixPath, names):
        if path.is_absolute() or ".." in path.parts:
            raise InputError(f"{archive} would write outside {folder} ({path}): download it again from Kaggle")
    for image in images:
        if image.relative_to(folder).as_posix() not in names:
            raise InputError(f"{image} is not the competition's: move its folder away or use another --input")


def _is_unpacked(path: Path, member: zipfile.ZipInfo) -> bool:
    if not path.is_file() or path.stat().st_size != member.file_size:
        return False
    return zlib.crc32(path.read_bytes()) == member.CRC


def _extract(opened: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path) -> None:
    target, temporary = folder / member.filename, folder / ".unpacking"
    target.parent.mkdir(parents=True, exist_ok=True)
    with opened.open(member) as source, temporary.open("wb") as sink:
        shutil.copyfileobj(source, sink)
    temporary.replace(target)
