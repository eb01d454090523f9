"""Strips of a folder: images are found by ending and by content, and what cannot be read is refused by name."""

from __future__ import annotations

import os

import cv2
import numpy as np
import pytest

from severstal.data import strips
from severstal.errors import InputError

STRIP = np.random.default_rng(0).integers(0, 255, (64, 96), dtype=np.uint8)
JPEG = cv2.imencode(".jpg", STRIP)[1].tobytes()
PNG = cv2.imencode(".png", STRIP)[1].tobytes()


def test_strips_are_listed_whatever_their_ending(tmp_path) -> None:
    for name in ("b.JPG", "a.jpeg", "c.Png", "d.TIF", "e.bmp"):
        (tmp_path / name).touch()
    (tmp_path / "no_ending").write_bytes(PNG)
    (tmp_path / "Thumbs.db").write_bytes(b"no image")
    (tmp_path / ".hidden.jpg").touch()
    (tmp_path / "folder.jpg").mkdir()
    assert strips.listing(tmp_path) == ["a.jpeg", "b.JPG", "c.Png", "d.TIF", "e.bmp", "no_ending"]


def test_a_png_named_jpg_is_read_by_its_content(tmp_path) -> None:
    (tmp_path / "strip.jpg").write_bytes(PNG)
    assert np.array_equal(strips.read(tmp_path / "strip.jpg", (64, 96)), STRIP)


def test_a_strip_of_another_size_is_refused_by_name(tmp_path) -> None:
    file = tmp_path / "strip.jpg"
    file.write_bytes(JPEG)
    assert strips.read(file, (64, 96)).shape == (64, 96)
    with pytest.raises(InputError, match=f"^{file} is 64x96 pixels .* where 256x1600 is expected"):
        strips.read(file, (256, 1600))


def test_what_is_no_ordinary_file_is_refused_without_waiting_for_it(tmp_path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "link.jpg").symlink_to(tmp_path / "nowhere")
    (tmp_path / "large.jpg").touch()
    os.truncate(tmp_path / "large.jpg", strips.MAX_BYTES + 1)
    for name, message in (("pipe.jpg", "no ordinary file"), ("link.jpg", "is missing"), ("large.jpg", "has 610 MB")):
        with pytest.raises(InputError, match=message):
            strips.read(tmp_path / name)


def test_a_folder_without_strips_is_an_error_with_its_reason(tmp_path) -> None:
    with pytest.raises(InputError, match="is no folder"):
        strips.listing(tmp_path / "nowhere")
    with pytest.raises(InputError, match="holds no image"):
        strips.listing(tmp_path)
    (tmp_path / "a.webp").touch()
    with pytest.raises(InputError, match=r"a\.webp is no JPEG, PNG, BMP or TIFF: convert it"):
        strips.listing(tmp_path)


@pytest.mark.parametrize(
    "name", [b"Stra\xdfe.jpg", b"two\nlines.jpg", "a\u2028b.jpg".encode()], ids=["Latin-1", "newline", "U+2028"]
)
def test_a_name_that_no_table_can_hold_is_refused_in_one_line(tmp_path, name) -> None:
    (tmp_path / os.fsdecode(name)).write_bytes(JPEG)
    with pytest.raises(InputError, match="rename the file") as error:
        strips.listing(tmp_path)
    assert len(str(error.value).splitlines()) == 1
    assert str(error.value).isprintable()
