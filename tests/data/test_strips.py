"""Strips as they are stored: whole ones are read, damaged ones are named and refused."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from support.experiments import write_tiny_strips

from severstal.data import near_duplicates, strips
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
def test_a_damaged_strip_is_named(tmp_path, content, message) -> None:
    file = tmp_path / "strip.jpg"
    file.write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        strips.read(file)
    assert str(file) in str(error.value)


def test_a_whole_strip_is_read(tmp_path) -> None:
    (tmp_path / "strip.jpg").write_bytes(jpeg())
    assert strips.read_sized(tmp_path / "strip.jpg", 64, 96).shape == (64, 96)
    with pytest.raises(InputError, match="64x96 pixels"):
        strips.read_sized(tmp_path / "strip.jpg", 256, 1600)


def test_folders_without_strips(tmp_path) -> None:
    with pytest.raises(InputError, match="is no folder"):
        strips.listing(tmp_path / "nowhere")
    with pytest.raises(InputError, match="holds no"):
        strips.listing(tmp_path)
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"a\.png is no JPEG"):
        strips.listing(tmp_path)


def test_a_strip_of_another_size_is_named_before_anything_is_split(tmp_path) -> None:
    write_tiny_strips(tmp_path / "strips", 3)
    odd = tmp_path / "strips" / f"{2:09x}.jpg"
    cv2.imwrite(str(odd), np.zeros((32, 96), dtype=np.uint8))
    with pytest.raises(InputError, match=r"is 32x96 pixels .* where 64x96 is expected.*resize or remove") as error:
        near_duplicates.scan(odd.parent, strips.listing(odd.parent), 1)
    assert str(odd) in str(error.value)
