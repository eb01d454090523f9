"""Download and submission with Kaggle's real client against a stand-in, in processes of their own."""

from __future__ import annotations

import io
import json
import random
import shutil
import signal
import time
import zipfile
from collections import namedtuple
from pathlib import Path

import pytest
from support.kaggle_stand_in import COUNTS, KEY, ROOT, TOKEN, USER, StandIn, check_error, ended, start_stage

from severstal.errors import InputError
from severstal.kaggle import client

NOWHERE = "http://localhost:9"  # nothing listens here
GOOD = {"KAGGLE_API_TOKEN": TOKEN}
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
    with zipfile.ZipFile(memory, "w") as made:
        for name, content in files.items():
            made.writestr(name, content)
    return memory.getvalue()


ARCHIVE = zipped(FILES)


def content(folder: Path) -> dict[str, bytes]:
    """Every file under ``folder``, hidden ones too."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


@pytest.fixture
def site():
    with StandIn(ARCHIVE) as made:
        yield made


@pytest.fixture
def start(tmp_path):
    """Start download_data for the folder ``tmp_path/input``."""

    def starting(url: str, *args: str, **env: str):
        (tmp_path / "home").mkdir(exist_ok=True)
        stage = ROOT / "src/download_data.py"
        where = ("--input", str(tmp_path / "input"))
        return start_stage(url, tmp_path / "home", stage, *where, *args, counts=COUNTS, **env)

    return starting


@pytest.fixture
def fetch(start):
    """Run download_data to its end: exit code, stdout, stderr."""

    def fetching(url: str, *args: str, **env: str) -> tuple[int, str, str]:
        return ended(start(url, *args, **env))

    return fetching


def test_download_unpacks_and_then_needs_no_network(site, fetch, tmp_path):
    code, out, err = fetch(site.url, **GOOD)
    assert code == 0, err
    assert content(tmp_path / "input") == FILES  # so the zip is gone, and no temporary file is left
    assert "3 train images and 2 test images" in out
    code, out, err = fetch(NOWHERE)  # nor a token
    assert code == 0, err
    assert "in place" in out


def test_kaggle_json_and_keep_zip(site, fetch, tmp_path):
    home = tmp_path / "home/.kaggle"
    home.mkdir(parents=True)
    (home / "kaggle.json").write_text('{"username": "someone"')  # cut off: the client does not say so
    check_error(fetch(site.url), str(home / "kaggle.json"), "settings/api")
    (home / "kaggle.json").write_text(json.dumps({"username": USER, "key": KEY}))
    code, out, err = fetch(site.url, "--keep-zip")
    assert code == 0, err
    assert "readable by other users" in out  # the client's warning comes through
    assert content(tmp_path / "input") == {**FILES, ZIP: ARCHIVE}


def test_no_token_or_a_wrong_one(site, start):
    cases = [
        ({"KAGGLE_API_TOKEN": "KGAT_old"}, "no valid Kaggle token in KAGGLE_API_TOKEN"),
        ({"KAGGLE_API_TOKEN": "two\nlines"}, "no valid Kaggle token in KAGGLE_API_TOKEN"),
        ({"KAGGLE_USERNAME": USER, "KAGGLE_KEY": "old"}, "401: Unauthenticated"),
        ({}, "no Kaggle token found"),
        # An outdated token hides the good key: the message has to name it.
        ({"KAGGLE_API_TOKEN": "KGAT_old", "KAGGLE_USERNAME": USER, "KAGGLE_KEY": KEY}, "of: KAGGLE_API_TOK"),
    ]
    for process, source in [(start(site.url, **env), source) for env, source in cases]:
        check_error(ended(process), source, "settings/api")
    assert site.ranges == []


def test_rules_not_accepted(site, fetch):
    site.rules_accepted = False
    wanted = ("403: You must accept", "kaggle.com/competitions/severstal-steel-defect-detection/rules")
    check_error(fetch(site.url, **GOOD), *wanted)


def test_no_network(start):
    envs = (GOOD, {"KAGGLE_USERNAME": USER, "KAGGLE_KEY": KEY})
    for process in [start(NOWHERE, **env) for env in envs]:
        check_error(ended(process), "no answer from Kaggle", "check network")


def test_connection_cut_for_good_then_resumed_by_the_next_call(site, fetch, tmp_path):
    site.rules = [5 * MIB // 2, 0, 0, 0, 0, 0]
    check_error(fetch(site.url, **GOOD), "broke off", "run this again", f"the {2 * MIB} bytes")
    assert (tmp_path / "input" / ZIP).read_bytes() == ARCHIVE[: 2 * MIB]
    site.ranges.clear()
    code, _, err = fetch(site.url, **GOOD)
    assert code == 0, err
    assert site.ranges == [None, f"bytes={2 * MIB}-"]
    assert content(tmp_path / "input") == FILES


def test_interrupted_download_is_resumed_by_the_next_call(site, start, fetch, tmp_path):
    site.stall_after = 5 * MIB // 2
    process, part, give_up = start(site.url, **GOOD), tmp_path / "input" / ZIP, time.monotonic() + 15
    while not (part.exists() and part.stat().st_size == 2 * MIB):
        assert time.monotonic() < give_up and process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    site.stall_after, site.rules = None, [len(ARCHIVE), MIB + 1]  # cut once more, and resumed in the same call
    site.ranges.clear()
    code, _, err = fetch(site.url, **GOOD)
    assert code == 0, err
    assert site.ranges == [None, f"bytes={2 * MIB}-", f"bytes={3 * MIB}-"]
    assert content(tmp_path / "input") == FILES


def test_expired_address_does_not_spoil_the_next_call(site, fetch, tmp_path):
    site.rules, site.answers_left = [5 * MIB // 2], 1
    check_error(fetch(site.url, **GOOD), "arrived wrong", "run this again")
    assert content(tmp_path / "input") == {}  # else the client would append to an error page


def test_damaged_zip_leaves_whole_files_only(site, fetch, tmp_path):
    spoiled = bytearray(ARCHIVE)
    spoiled[ARCHIVE.index(FILES["test_images/0.jpg"]) + 1000] ^= 1
    site.archive = bytes(spoiled)
    check_error(fetch(site.url, **GOOD), ZIP, "damaged", "run this again")
    left = content(tmp_path / "input")
    left.pop(".unpacking", None)
    assert left.items() < FILES.items()
    assert "train_images/2.jpg" in left
    assert "test_images/0.jpg" not in left


def test_wrong_counts(site, fetch, tmp_path):
    site.archive = zipped({name: content for name, content in FILES.items() if name != "train_images/1.jpg"})
    check_error(fetch(site.url, **GOOD), "should hold 3 images, found 2", f"{ZIP} is not what", "Delete it")
    assert (tmp_path / "input" / ZIP).exists()


def small(folder: Path, **changes: int) -> bool:
    return client.download(folder, competition=client.Competition(**{**COUNTS, **changes}))


def test_interrupted_unpacking_goes_on_without_network(tmp_path):
    """The zip may also come from a browser. A file cut short, or one of the right size, is written again."""
    (tmp_path / ZIP).write_bytes(ARCHIVE)
    (tmp_path / "train_images").mkdir()
    (tmp_path / "train_images/0.jpg").write_bytes(FILES["train_images/0.jpg"][:-1])
    (tmp_path / "train_images/1.jpg").write_bytes(bytes(700_000))
    whole = tmp_path / "train_images/2.jpg"
    whole.write_bytes(FILES["train_images/2.jpg"])
    before = whole.stat()
    assert small(tmp_path)
    assert content(tmp_path) == FILES
    assert whole.stat().st_ino == before.st_ino  # left alone


def test_images_of_another_data_set_stay_untouched(tmp_path):
    mine = {"train.csv": b"mine", "train_images/mine.jpg": b"mine", ZIP: ARCHIVE}
    (tmp_path / "train_images").mkdir()
    for name, written in mine.items():
        (tmp_path / name).write_bytes(written)
    with pytest.raises(InputError, match=r"mine\.jpg is not the competition's"):
        small(tmp_path)
    assert content(tmp_path) == mine


@pytest.mark.parametrize("name", ["../outside.jpg", "/tmp/outside.jpg"])
def test_zip_that_would_write_elsewhere(tmp_path, name):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / ZIP).write_bytes(zipped({**FILES, name: b""}))
    with pytest.raises(InputError, match="outside"):
        small(tmp_path / "in")
    assert set(content(tmp_path)) == {f"in/{ZIP}"}


def test_made_up_data(tmp_path):
    (tmp_path / "SYNTHETIC.json").write_text("{}")
    with pytest.raises(InputError, match=r"synthetic data.*--input"):
        small(tmp_path)


def test_full_disk(tmp_path, monkeypatch):
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(3_399_999_999))
    with pytest.raises(InputError, match=r"needs 3\.4 GB more .* --input"):
        client.download(tmp_path / "input")
    assert not (tmp_path / "input").exists()
    # What has arrived needs no room a second time: 3.5 MB of zip and of images are left to come from 8 MB.
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(8_000_000 - len(ARCHIVE)))
    (tmp_path / ZIP).write_bytes(ARCHIVE)
    assert small(tmp_path)


@pytest.fixture
def send(tmp_path):
    """Run kaggle.submit on ``tmp_path/submission.csv`` as a stage would."""
    script = tmp_path / "send.py"
    script.write_text(
        "import sys; from pathlib import Path; from severstal import errors, kaggle\n"
        "errors.run_stage(lambda: kaggle.submit(Path(sys.argv[1]), 'three folds'))\n"
    )
    (tmp_path / "home").mkdir()
    csv = tmp_path / "submission.csv"
    csv.write_text("ImageId,EncodedPixels,ClassId\na.jpg,,1\n")

    def sending(url: str, **env: str) -> tuple[int, str, str]:
        return ended(start_stage(url, tmp_path / "home", script, str(csv), counts=COUNTS, **env))

    return sending


def test_submit(site, send):
    code, out, err = send(site.url, **GOOD)
    assert code == 0, err
    assert "Successfully submitted to Severstal" in out
    assert "/submissions" in out
    assert site.uploads == [b"ImageId,EncodedPixels,ClassId\na.jpg,,1\n"]
    assert site.submissions == [
        {
            "competitionName": "severstal-steel-defect-detection",
            "blobFileTokens": "blob of 39",
            "submissionDescription": "three folds",
        }
    ]


def test_submit_refused_by_a_code_competition(site, send):
    words = "This competition only accepts Submissions from Notebooks"
    site.refusal = (400, words)
    check_error(send(site.url, **GOOD), f"400: {words}", "code competition", "a Kaggle notebook")


def test_submit_upload_fails(site, send):
    site.upload_status = 500
    check_error(send(site.url, **GOOD), "submission.csv did not reach Kaggle")
    assert site.submissions == []


def test_submit_without_file(tmp_path):
    with pytest.raises(InputError, match=r"none\.csv is missing or empty"):
        client.submit(tmp_path / "none.csv", "nothing")
