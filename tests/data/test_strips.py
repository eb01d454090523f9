"""Strips on disk: complete files are read, damaged ones are refused by name."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from severstal.data import strips
from severstal.errors import InputError


def jpeg() -> bytes:
    return cv2.imencode(".jpg", np.random.default_rng(0).integers(0, 255, (64, 96), dtype=np.uint8))[1].tobytes()


def of_size(data: bytes, size: bytes) -> bytes:
    """The JPEG with another height and width in its header."""
    place = data.index(b"\xff\xc0") + 5
    return data[:place] + size + data[place + 4 :]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (jpeg()[: len(jpeg()) * 6 // 10], "is cut short"),
        (jpeg()[:-2], "is cut short"),
        (cv2.imencode(".png", np.zeros((4, 4), np.uint8))[1].tobytes(), "is no JPEG"),
        (b"no image", "is no JPEG"),
        (jpeg()[:300] + jpeg()[-2:], "is cut short|cannot be decoded"),
        (of_size(jpeg(), b"\xff\xdc\xff\xdc"), "cannot be decoded"),
    ],
    ids=["zero bytes", "cut at 60 %", "cut by two bytes", "PNG", "text", "no scan", "a header of 65500x65500 pixels"],
)
def test_a_damaged_strip_is_refused_by_name(tmp_path, content, message) -> None:
    file = tmp_path / "strip.jpg"
    file.write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        strips.read(file)
    assert str(file) in str(error.value)


def test_a_complete_strip_is_read_and_one_of_another_size_is_refused(tmp_path) -> None:
    (tmp_path / "strip.jpg").write_bytes(jpeg())
    assert strips.read_sized(tmp_path / "strip.jpg", 64, 96).shape == (64, 96)
    with pytest.raises(InputError, match="64x96 pixels"):
        strips.read_sized(tmp_path / "strip.jpg", 256, 1600)


def test_a_folder_without_strips_is_an_error_with_its_reason(tmp_path) -> None:
    with pytest.raises(InputError, match="is no folder"):
        strips.listing(tmp_path / "nowhere")
    with pytest.raises(InputError, match="holds no"):
        strips.listing(tmp_path)
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"a\.png is no JPEG"):
        strips.listing(tmp_path)
