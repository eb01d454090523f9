"""The download of the competition's files, with Kaggle's real client against a stand-in."""

from __future__ import annotations

import io
import json
import os
import random
import shutil
import signal
import time
import zipfile
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from support.commands import check_error
from support.kaggle_stages import COMPETITION, VALID, start_stage
from support.kaggle_stand_in import KEY, USER

from severstal.errors import InputError
from severstal.kaggle.download import download
from severstal.paths import Paths

NOWHERE = "http://localhost:9"  # nothing listens here
ZIP = "severstal-steel-defect-detection.zip"
MIB = 2**20  # the client writes to disk in pieces of this size
NOISE = random.Random(0)
FILES = {
    "train.csv": b"ImageId,ClassId,EncodedPixels\n",
    "sample_submission.csv": b"ImageId,EncodedPixels,ClassId\n",
    **{f"train_images/{i}.jpg": NOISE.randbytes(700_000) for i in range(3)},
    **{f"test_images/{i}.jpg": NOISE.randbytes(700_000) for i in range(2)},
}


def zipped(files: dict[str, bytes]) -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return memory.getvalue()


ARCHIVE = zipped(FILES)


def content(folder: Path) -> dict[str, bytes]:
    """Every file under ``folder``, hidden ones too."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


@pytest.fixture
def site(site):
    site.archive = ARCHIVE
    return site


@pytest.fixture
def fetch(runner, tmp_path) -> Callable[..., CompletedProcess[str]]:
    """Run download_data for the folder ``tmp_path/input``."""

    def run(url: str, *arguments: str, **credentials: str) -> CompletedProcess[str]:
        return runner.run("download_data", url, Paths.under(tmp_path), *arguments, **credentials)

    return run


def test_a_download_is_unpacked_and_the_next_call_needs_no_network(site, fetch, tmp_path) -> None:
    first = fetch(site.url, **VALID)
    assert first.returncode == 0, first.stderr
    assert content(tmp_path / "input") == FILES  # so the zip is deleted, and no temporary file is left
    assert "3 train images and 2 test images" in first.stdout
    second = fetch(NOWHERE)  # without a token
    assert second.returncode == 0, second.stderr
    assert "cached" in second.stdout


def test_an_old_kaggle_json_works_and_the_zip_can_be_kept(site, fetch, home, tmp_path) -> None:
    key = home / ".kaggle" / "kaggle.json"
    key.parent.mkdir()
    key.write_text('{"username": "someone"')  # cut off: the client gives no reason
    check_error(fetch(site.url), str(key), "settings/api")
    key.write_text(json.dumps({"username": USER, "key": KEY}))
    ended = fetch(site.url, "--keep-zip")
    assert ended.returncode == 0, ended.stderr
    assert "readable by other users" in ended.stdout  # the client's warning is shown
    assert content(tmp_path / "input") == {**FILES, ZIP: ARCHIVE}


@pytest.mark.parametrize(
    ("credentials", "message"),
    [
        ({"KAGGLE_API_TOKEN": "KGAT_old"}, "no valid Kaggle token in KAGGLE_API_TOKEN"),
        ({"KAGGLE_API_TOKEN": "two\nlines"}, "no valid Kaggle token in KAGGLE_API_TOKEN"),
        ({"KAGGLE_USERNAME": USER, "KAGGLE_KEY": "old"}, "401: Unauthenticated"),
        ({}, "no Kaggle token found"),
        # An outdated token hides the valid key: the message has to name it.
        ({"KAGGLE_API_TOKEN": "KGAT_old", "KAGGLE_USERNAME": USER, "KAGGLE_KEY": KEY}, "of: KAGGLE_API_TOK"),
    ],
    ids=["outdated", "two lines", "outdated key", "none", "outdated token before a valid key"],
)
def test_a_missing_or_wrong_token_is_an_error_with_the_way_to_a_new_one(site, fetch, credentials, message) -> None:
    check_error(fetch(site.url, **credentials), message, "settings/api")
    assert site.ranges == []


def test_a_home_that_cannot_be_written_to_is_enough(site, tmp_path) -> None:
    # The client creates its folder while it is imported.
    process = start_stage(site.url, Path(os.devnull), "download_data", Paths.under(tmp_path), **VALID)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert content(tmp_path / "input") == FILES


def test_a_user_without_name_and_home_is_told_how_to_get_a_token(site, fetch, monkeypatch) -> None:
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)  # raises KeyError, as for `docker run --user 12345`
    check_error(fetch(site.url), "no Kaggle token found", "settings/api")


def test_rules_that_are_not_accepted_are_an_error_with_their_address(site, fetch) -> None:
    site.rules_accepted = False
    address = "kaggle.com/competitions/severstal-steel-defect-detection/rules"
    check_error(fetch(site.url, **VALID), "403: You must accept", address)


@pytest.mark.parametrize("credentials", [VALID, {"KAGGLE_USERNAME": USER, "KAGGLE_KEY": KEY}], ids=["token", "key"])
def test_without_a_network_the_error_says_what_to_check(fetch, credentials) -> None:
    check_error(fetch(NOWHERE, **credentials), "no answer from Kaggle", "check network")


def test_a_download_that_is_cut_off_continues_with_the_next_call(site, fetch, tmp_path) -> None:
    site.cuts = [5 * MIB // 2, 0, 0, 0, 0, 0]
    check_error(fetch(site.url, **VALID), "cut off", "run this again", f"the {2 * MIB} bytes")
    assert (tmp_path / "input" / ZIP).read_bytes() == ARCHIVE[: 2 * MIB]
    site.ranges.clear()
    ended = fetch(site.url, **VALID)
    assert ended.returncode == 0, ended.stderr
    assert site.ranges == [None, f"bytes={2 * MIB}-"]
    assert content(tmp_path / "input") == FILES


def test_an_interrupted_download_continues_with_the_next_call(site, fetch, home, tmp_path) -> None:
    site.stall_after = 5 * MIB // 2
    process = start_stage(site.url, home, "download_data", Paths.under(tmp_path), **VALID)
    part = tmp_path / "input" / ZIP
    while not (part.exists() and part.stat().st_size == 2 * MIB):
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    assert process.wait(120) == 130
    site.stall_after, site.cuts = None, [len(ARCHIVE), MIB + 1]  # cut off once more, and resumed in the same call
    site.ranges.clear()
    ended = fetch(site.url, **VALID)
    assert ended.returncode == 0, ended.stderr
    assert site.ranges == [None, f"bytes={2 * MIB}-", f"bytes={3 * MIB}-"]
    assert content(tmp_path / "input") == FILES


def test_an_expired_address_leaves_nothing_that_spoils_the_next_call(site, fetch, tmp_path) -> None:
    site.cuts, site.answers_left = [5 * MIB // 2], 1
    check_error(fetch(site.url, **VALID), "arrived damaged", "run this again")
    assert content(tmp_path / "input") == {}  # otherwise the client would append to an error page


def test_a_damaged_zip_leaves_only_complete_files(site, fetch, tmp_path) -> None:
    spoiled = bytearray(ARCHIVE)
    spoiled[ARCHIVE.index(FILES["test_images/0.jpg"]) + 1000] ^= 1
    site.archive = bytes(spoiled)
    check_error(fetch(site.url, **VALID), ZIP, "damaged", "run this again")
    left = content(tmp_path / "input")
    left.pop(".unpacking", None)
    assert left.items() < FILES.items()
    assert "train_images/2.jpg" in left
    assert "test_images/0.jpg" not in left


def test_a_zip_without_all_images_is_an_error_with_both_counts(site, fetch, tmp_path) -> None:
    site.archive = zipped({name: content for name, content in FILES.items() if name != "train_images/1.jpg"})
    check_error(fetch(site.url, **VALID), "should hold 3 images, found 2", f"{ZIP} is not what", "Delete it")
    assert (tmp_path / "input" / ZIP).exists()


def test_interrupted_unpacking_continues_without_a_network(tmp_path) -> None:
    """The zip may also come from a browser. A file that is cut off or has other content is written again."""
    (tmp_path / ZIP).write_bytes(ARCHIVE)
    (tmp_path / "train_images").mkdir()
    (tmp_path / "train_images/0.jpg").write_bytes(FILES["train_images/0.jpg"][:-1])
    (tmp_path / "train_images/1.jpg").write_bytes(bytes(700_000))
    complete = tmp_path / "train_images/2.jpg"
    complete.write_bytes(FILES["train_images/2.jpg"])
    before = complete.stat()
    assert download(tmp_path, competition=COMPETITION)
    assert content(tmp_path) == FILES
    assert complete.stat().st_ino == before.st_ino  # not written again


def test_images_of_another_data_set_are_not_changed(tmp_path) -> None:
    mine = {"train.csv": b"mine", "train_images/mine.jpg": b"mine", ZIP: ARCHIVE}
    (tmp_path / "train_images").mkdir()
    for name, written in mine.items():
        (tmp_path / name).write_bytes(written)
    with pytest.raises(InputError, match=r"mine\.jpg is not the competition's"):
        download(tmp_path, competition=COMPETITION)
    assert content(tmp_path) == mine


@pytest.mark.parametrize("name", ["../outside.jpg", "/tmp/outside.jpg"])
def test_a_zip_that_would_write_outside_the_folder_is_refused(tmp_path, name) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / ZIP).write_bytes(zipped({**FILES, name: b""}))
    with pytest.raises(InputError, match="outside"):
        download(tmp_path / "in", competition=COMPETITION)
    assert set(content(tmp_path)) == {f"in/{ZIP}"}


def test_a_folder_of_synthetic_steel_is_not_overwritten(tmp_path) -> None:
    (tmp_path / "SYNTHETIC.json").write_text("{}")
    with pytest.raises(InputError, match=r"synthetic data.*--input"):
        download(tmp_path, competition=COMPETITION)


def test_a_full_disk_is_an_error_before_the_download(tmp_path, monkeypatch) -> None:
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(3_399_999_999))
    with pytest.raises(InputError, match=r"needs 3\.4 GB more .* --input"):
        download(tmp_path / "input")
    assert not (tmp_path / "input").exists()
    # The part of the zip that has arrived needs no more room, so 8 MB less its size are enough.
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(8_000_000 - len(ARCHIVE)))
    (tmp_path / ZIP).write_bytes(ARCHIVE)
    assert download(tmp_path, competition=COMPETITION)
