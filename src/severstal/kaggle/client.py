"""Everything that talks to Kaggle: fetch and unpack the competition's files, upload a submission.

It promises that trouble with token, rules, network, disk or files is an InputError that says what to do; that
a file under its final name is whole; that a broken download or unpacking goes on where it stopped. Kaggle's
own client does the work, imported inside the functions: its import takes a second and asks for a token.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from severstal.errors import InputError
from severstal.kaggle.archive import unpack
from severstal.paths import Paths
from severstal.synthetic.dataset import MARKER

SITE = "https://www.kaggle.com"
NEW_TOKEN = (
    f"log in at {SITE}/settings/api, press 'Generate New Token' and save the token as ~/.kaggle/access_token "
    "(or export KAGGLE_API_TOKEN=...); an older kaggle.json goes into ~/.kaggle/ (or export KAGGLE_USERNAME "
    "and KAGGLE_KEY)"
)


@dataclass(frozen=True)
class Competition:
    """What the competition's folder holds once complete, and the bytes of its zip (rounded up)."""

    slug: str = "severstal-steel-defect-detection"
    train_images: int = 12_568
    test_images: int = 5_506
    zip_bytes: int = 1_700_000_000

    @property
    def page(self) -> str:
        return f"{SITE}/competitions/{self.slug}"


SEVERSTAL = Competition()


def download(folder: Path, *, keep_zip: bool = False, competition: Competition = SEVERSTAL) -> bool:
    """Bring the competition's files into ``folder``; False, without any network, where all is there already.

    Raises InputError with the cure for every trouble; running it again goes on where it stopped.
    """
    if (folder / MARKER).exists():
        raise InputError(f"{folder} holds synthetic data ({MARKER}): move it away, or use another --input")
    if not missing(folder, competition):
        return False
    archive = folder / f"{competition.slug}.zip"
    _check_room(folder, archive, competition)
    folder.mkdir(parents=True, exist_ok=True)
    if not _is_whole(archive):
        _fetch(archive, competition)
    _unpack(archive, folder)
    if wrong := missing(folder, competition):
        raise InputError(
            f"{archive} is not what this project expects: {'; '.join(wrong)}. Delete it and run this again; "
            f"if that does not help, compare with the list of files at {competition.page}/data"
        )
    if not keep_zip:
        os.sync()  # 18,000 files were written without a sync each: only now may the zip go
        archive.unlink()
    return True


def image_counts(folder: Path) -> dict[Path, int]:
    """Number of JPEGs in the folder of train images and in that of test images (0 where there is none)."""
    paths = Paths(input=folder)
    return {images: len(list(images.glob("*.jpg"))) for images in (paths.train_images, paths.test_images)}


def missing(folder: Path, competition: Competition = SEVERSTAL) -> list[str]:
    """What ``folder`` lacks of the competition, in words; empty where it is complete."""
    tables = (Paths(input=folder).train_csv, Paths(input=folder).sample_submission)
    wrong = [f"{table} is missing" for table in tables if not table.is_file()]
    expected = (competition.train_images, competition.test_images)
    for (images, found), number in zip(image_counts(folder).items(), expected, strict=True):
        if found != number:
            wrong.append(f"{images} should hold {number} images, found {found}")
    return wrong


def submit(csv: Path, message: str, competition: Competition = SEVERSTAL) -> None:
    """Upload ``csv`` as a submission described by ``message`` and print Kaggle's answer.

    Raises InputError where the file is missing or empty, or Kaggle refuses: in Kaggle's words, with a cure.
    """
    if not csv.is_file() or not csv.stat().st_size:
        raise InputError(f"{csv} is missing or empty: make it with bash bin/predict.sh")
    client = client_for(competition)
    from requests import RequestException

    try:
        answer = client.competition_submit(str(csv), message, competition.slug)
    except (RequestException, json.JSONDecodeError) as error:
        raise explained(error, competition, uploading=True) from error
    # The client prints why an upload failed and returns this sentence; it raises nothing.
    if answer.message == client.COMPETITION_SUBMIT_UPLOAD_FAILED_MESSAGE:
        raise InputError(f"{csv} did not reach Kaggle (the reason, if known, stands above): run this again")
    print(f"sent {csv}; Kaggle says: {answer.message}")
    print(f"the score will appear at {competition.page}/submissions")


def client_for(competition: Competition) -> Any:
    """Kaggle's client, with a token.

    ``import kaggle`` authenticates, swallows what goes wrong and prints a page of help; ``authenticate()``
    exits the process where there is no token. Hence: import in silence, ask again, and turn both ends into an
    InputError.
    """
    said = io.StringIO()
    try:
        with redirect_stdout(io.StringIO()):
            import kaggle
    except ImportError as error:
        raise InputError(f"{error}: install Kaggle's client, pip install -r requirements.txt") from error
    from requests import RequestException

    try:
        with redirect_stdout(said):
            kaggle.api.authenticate()
    except (RequestException, json.JSONDecodeError) as error:
        raise explained(error, competition) from error
    except (SystemExit, ValueError):  # ValueError: a token that fits into no HTTP header, such as two lines
        raise InputError(_no_token(competition)) from None
    print(said.getvalue(), end="")  # such as: kaggle.json is readable by others
    return kaggle.api


def _tokens() -> list[str]:
    """Where tokens were found, in the client's order: it takes the first, so an old one hides a good one."""
    home = Path.home() / ".kaggle"
    standard = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "kaggle"
    config = Path(os.environ.get("KAGGLE_CONFIG_DIR") or (home if home.exists() else standard))
    found = ["KAGGLE_API_TOKEN"] if os.environ.get("KAGGLE_API_TOKEN") else []
    found += [str(path) for path in (home / "access_token", home / "access_token.txt") if path.exists()]
    files = (config / "kaggle.json", home / "credentials.json")
    if os.environ.get("KAGGLE_USERNAME") and os.environ.get("KAGGLE_KEY"):
        found.append("KAGGLE_USERNAME with KAGGLE_KEY")
    return found + [str(path) for path in files if path.exists()]


def _no_token(competition: Competition) -> str:
    # The client silently passes over a token that Kaggle does not know and a kaggle.json that it cannot read.
    if found := _tokens():
        return f"no valid Kaggle token in {', '.join(found)} (outdated or damaged). For one, {NEW_TOKEN}"
    return (
        f"no Kaggle token found. For one, {NEW_TOKEN}. For the data a browser is enough: download "
        f"{competition.slug}.zip from {competition.page}/data into the --input folder and run this again"
    )


def explained(error: Exception, competition: Competition, *, uploading: bool = False) -> InputError:
    """The InputError for what a call to Kaggle raised."""
    response = getattr(error, "response", None)
    # Compared with None: a requests response of 4xx counts as false (the client itself falls for that).
    status = None if response is None else response.status_code
    words = re.sub(r"\?\S+", "", str(error))  # without the signature that ends a storage address
    if status is None:
        return InputError(f"no answer from Kaggle: check network, proxy, login page and try again ({words})")
    if status == 401 and not _tokens():
        return InputError(_no_token(competition))
    return InputError(f"Kaggle refused ({status}: {words}): {_cure(status, competition, uploading)}")


def _cure(status: int, competition: Competition, uploading: bool) -> str:
    tokens = ", ".join(_tokens())
    cure = {
        401: f"the token is wrong or outdated (the first of: {tokens}). For a new one, {NEW_TOKEN}",
        403: f"open {competition.page}/rules with the account of the token and accept the rules (after 'Late "
        "Submission' or 'Join'; Kaggle may want the phone number verified first), then run this again",
        429: "that is too many requests: wait some minutes and run this again",
    }.get(status, f"see {competition.page}" if status < 500 else "trouble at Kaggle's end: try again later")
    if uploading and status in (400, 403):
        cure += (
            ". This is a code competition, which takes a notebook's output rather than a file from outside: "
            "run the prediction in a Kaggle notebook and submit its submission.csv at "
            f"{competition.page}/submissions"
        )
    return cure


def _check_room(folder: Path, archive: Path, competition: Competition) -> None:
    """Enough room for the zip and as much again unpacked? On a full disk the client retries for a minute."""
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
    """Download the zip, or what is missing of it, with the client's progress bar."""
    client = client_for(competition)
    from requests import RequestException

    try:
        client.competition_download_files(competition.slug, path=str(archive.parent), quiet=False)
    except RequestException as error:
        if error.response is not None or not archive.exists():
            raise explained(error, competition) from error
        raise InputError(
            f"the download broke off: check the network and run this again, it goes on behind the "
            f"{archive.stat().st_size} bytes that are in {archive} ({error})"
        ) from error
    except ValueError as error:
        # Where resuming is refused, the client asks for the whole file again and stores the answer unseen, an
        # error page too; only then does it find the size wrong, and next time it would append to that page.
        _discard(archive)
        raise InputError(f"{archive} arrived wrong and was deleted: run this again ({error})") from error
    # The client names the file by the end of the address that it was led to, which may be a login page's.
    if not archive.exists():
        raise InputError(f"Kaggle sent no {archive.name}: look for a proxy or login page, run this again")


def _marker(archive: Path) -> Path:
    """The client's note beside an unfinished download (its identity and size), which resuming needs."""
    return archive.with_name(archive.name + ".kaggle-partial")


def _is_whole(archive: Path) -> bool:
    return archive.is_file() and not _marker(archive).exists() and zipfile.is_zipfile(archive)


def _discard(archive: Path) -> None:
    archive.unlink(missing_ok=True)
    _marker(archive).unlink(missing_ok=True)


def _unpack(archive: Path, folder: Path) -> None:
    try:
        unpack(archive, folder, list(_images(folder)))
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        _discard(archive)
        raise InputError(f"{archive} is damaged and was deleted: run this again ({error})") from error
    _marker(archive).unlink(missing_ok=True)


def _images(folder: Path) -> Iterator[Path]:
    return (image for images in image_counts(folder) for image in images.glob("*.jpg"))
