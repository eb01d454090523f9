"""Download of the competition's files into the input folder.

An interrupted download or unpacking continues with the next call, and a file under its final name is complete. Every
failure (token, rules, network, disk, archive) is an InputError that says what to do.
"""

from __future__ import annotations

import os
import shutil
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from severstal.errors import InputError
from severstal.kaggle.archive import unpack
from severstal.kaggle.client import explain, sign_in
from severstal.kaggle.competition import SEVERSTAL, Competition
from severstal.paths import Paths


def download(folder: Path, *, keep_zip: bool = False, competition: Competition = SEVERSTAL) -> bool:
    """Download and unpack the competition's files.

    Args:
        folder: the input folder.
        keep_zip: keep Kaggle's zip in ``folder`` after unpacking.

    Returns:
        False, without any network traffic, if the folder is complete already.

    Raises:
        InputError: if something fails; calling again continues where it stopped.
    """
    marker = Paths(input=folder).synthetic_marker
    if marker.exists():
        raise InputError(f"{folder} holds synthetic data ({marker.name}): move it away, or use another --input")
    if not missing(folder, competition):
        return False
    archive = folder / f"{competition.slug}.zip"
    _check_free_space(folder, archive, competition)
    folder.mkdir(parents=True, exist_ok=True)
    if not _is_complete(archive):
        _fetch(archive, competition)
    _unpack(archive, folder)
    if problems := missing(folder, competition):
        raise InputError(
            f"{archive} is not what this project expects: {'; '.join(problems)}. Delete it and run this again; "
            f"if that does not help, compare with the list of files at {competition.page}/data"
        )
    if not keep_zip:
        os.sync()  # 18,000 files were written without a sync each: the zip may be deleted only after this one
        archive.unlink()
    return True


def image_counts(folder: Path) -> dict[Path, int]:
    """Number of JPEGs in the folder of train images and in that of test images (0 for a missing folder)."""
    paths = Paths(input=folder)
    return {images: len(list(images.glob("*.jpg"))) for images in (paths.train_images, paths.test_images)}


def missing(folder: Path, competition: Competition = SEVERSTAL) -> list[str]:
    """What ``folder`` lacks of the competition's files, a sentence each; empty if it is complete."""
    tables = (Paths(input=folder).train_csv, Paths(input=folder).sample_submission)
    problems = [f"{table} is missing" for table in tables if not table.is_file()]
    expected = (competition.train_images, competition.test_images)
    for (images, found), number in zip(image_counts(folder).items(), expected, strict=True):
        if found != number:
            problems.append(f"{images} should hold {number} images, found {found}")
    return problems


def _check_free_space(folder: Path, archive: Path, competition: Competition) -> None:
    """Check for room for the zip and as much again unpacked: on a full disk the client would retry for a minute."""
    unpacked = sum(image.stat().st_size for image in _images(folder))
    arrived = archive.stat().st_size if archive.exists() else 0
    needed = max(0, competition.zip_bytes - arrived) + max(0, competition.zip_bytes - unpacked)
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise InputError(
            f"{folder} needs {needed / 1e9:.1f} GB more (the zip, and as much again unpacked), its disk has "
            f"{free / 1e9:.1f} GB free: make room, or name a folder on another disk with --input"
        )


def _fetch(archive: Path, competition: Competition) -> None:
    """Download the zip, or the rest of it, with the client's progress bar."""
    client = sign_in(competition)
    from requests import RequestException

    try:
        client.competition_download_files(competition.slug, path=str(archive.parent), quiet=False)
    except RequestException as error:
        if error.response is not None or not archive.exists():
            raise explain(error, competition) from error
        raise InputError(
            f"the download was cut off: check the network and run this again, it continues after the "
            f"{archive.stat().st_size} bytes that are in {archive} ({error})"
        ) from error
    except ValueError as error:
        # If the server refuses to resume, the client requests the complete file again and stores the answer without a
        # check, even an error page; it then finds the size wrong, and would append to that page next time.
        _discard(archive)
        raise InputError(f"{archive} arrived damaged and was deleted: run this again ({error})") from error
    # The client names the file by the end of the address that it was redirected to, which may be a login page's.
    if not archive.exists():
        raise InputError(f"Kaggle sent no {archive.name}: look for a proxy or login page, run this again")


def _partial_record(archive: Path) -> Path:
    """The client's record of an unfinished download (its identity and size), which resuming needs."""
    return archive.with_name(archive.name + ".kaggle-partial")


def _is_complete(archive: Path) -> bool:
    return archive.is_file() and not _partial_record(archive).exists() and zipfile.is_zipfile(archive)


def _discard(archive: Path) -> None:
    archive.unlink(missing_ok=True)
    _partial_record(archive).unlink(missing_ok=True)


def _unpack(archive: Path, folder: Path) -> None:
    try:
        unpack(archive, folder, list(_images(folder)))
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        _discard(archive)
        raise InputError(f"{archive} is damaged and was deleted: run this again ({error})") from error
    _partial_record(archive).unlink(missing_ok=True)


def _images(folder: Path) -> Iterator[Path]:
    return (image for images in image_counts(folder) for image in images.glob("*.jpg"))
