"""Images by content: each format gives the same grey levels, and what has no certain grey level is refused by name."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO

import cv2
import numpy as np
import pytest
from PIL import Image

from severstal.data import images
from severstal.errors import InputError

GREY = np.random.default_rng(0).integers(0, 256, (24, 40), dtype=np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (24, 40, 3), dtype=np.uint8)
DEEP = (GREY.astype(np.uint16) << 8) + np.uint16(77)


def encoded(pixels: np.ndarray | Image.Image, kind: str, **options) -> bytes:
    picture = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    buffer = BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


def with_alpha(alpha: int) -> Image.Image:
    return Image.fromarray(np.dstack([COLOUR, np.full(GREY.shape, alpha, np.uint8)]))


def in_three_channels(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[..., None], 3, axis=2)


def of_size(data: bytes, height: int, width: int) -> bytes:
    """The JPEG with another height and width in its header."""
    place = data.index(b"\xff\xc0") + 5
    return data[:place] + struct.pack(">HH", height, width) + data[place + 4 :]


def png_of_size(height: int, width: int) -> bytes:
    """A PNG of some bytes that claims a size, with right checksums."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)), (b"IDAT", zlib.compress(bytes(100)))]
    body = b"".join(struct.pack(">I", len(c)) + n + c + struct.pack(">I", zlib.crc32(n + c)) for n, c in chunks)
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize(
    "data",
    [
        encoded(GREY, "PNG"),
        encoded(in_three_channels(GREY), "PNG"),
        encoded(Image.fromarray(GREY).convert("P"), "PNG"),
        encoded(GREY, "BMP"),
        encoded(in_three_channels(GREY), "BMP"),
        encoded(GREY, "TIFF"),
        encoded(in_three_channels(GREY), "TIFF", compression="tiff_lzw"),
        encoded(GREY, "TIFF", compression="tiff_deflate"),
        encoded(Image.fromarray(np.dstack([GREY, np.full_like(GREY, 255)])), "PNG"),
        encoded(DEEP, "PNG"),
        encoded(DEEP, "TIFF"),
        cv2.imencode(".png", in_three_channels(DEEP))[1].tobytes(),
        cv2.imencode(".tiff", in_three_channels(DEEP))[1].tobytes(),
    ],
    ids=["PNG", "PNG, RGB", "PNG, palette", "BMP", "BMP, RGB", "TIFF", "TIFF, LZW", "TIFF, deflate",
         "PNG, opaque alpha", "PNG, 16 bits", "TIFF, 16 bits", "PNG, RGB of 16 bits", "TIFF, RGB of 16 bits"],
)  # fmt: skip
def test_every_format_without_loss_gives_the_grey_levels_that_were_saved(data) -> None:
    assert np.array_equal(images.decode(data, "strip", GREY.shape), GREY)


def test_colour_becomes_the_luma_of_bt_601_in_every_format() -> None:
    luma = COLOUR @ np.array([0.299, 0.587, 0.114])
    for kind in ("PNG", "BMP", "TIFF"):
        assert np.abs(images.decode(encoded(COLOUR, kind), "strip") - luma).max() <= 1, kind
    # JPEG loses some, and stores luma itself.
    smooth = cv2.GaussianBlur(COLOUR, (0, 0), 9)
    luma = smooth @ np.array([0.299, 0.587, 0.114])
    assert np.abs(images.decode(encoded(smooth, "JPEG", quality=100), "strip") - luma).max() <= 3


@pytest.mark.parametrize("progressive", [False, True], ids=["baseline", "progressive"])
def test_a_jpeg_is_decoded_as_opencv_does(progressive) -> None:
    data = encoded(COLOUR, "JPEG", quality=80, progressive=progressive)
    assert np.array_equal(images.decode(data, "strip"), cv2.imdecode(np.frombuffer(data, np.uint8), 0))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_an_orientation_tag_turns_the_strip_and_its_size(kind) -> None:
    upright = images.decode(encoded(GREY, kind), "strip")
    for orientation, expected in ((3, upright[::-1, ::-1]), (6, np.rot90(upright, -1)), (8, np.rot90(upright))):
        data = encoded(GREY, kind, exif=exif(orientation))
        assert np.array_equal(images.decode(data, "strip", expected.shape), expected)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"is empty \(0 bytes\)"),
        (b"no image", r"is no JPEG, PNG, BMP or TIFF image \(it starts with 6e 6f 20 69\)"),
        (encoded(GREY, "WEBP"), "is no JPEG, PNG, BMP or TIFF"),
        (encoded(with_alpha(200), "PNG"), "has transparent pixels"),
        (encoded(Image.fromarray(COLOUR).convert("CMYK"), "JPEG"), "CMYK|YCCK"),
        (encoded(Image.fromarray(COLOUR).convert("CMYK"), "TIFF"), "no certain grey level"),
        (encoded(GREY.astype(np.float32), "TIFF"), "no certain grey level"),
        (encoded(DEEP >> 5, "PNG"), "uses only the lower ones"),
        (encoded(DEEP >> 5, "TIFF"), "uses only the lower ones"),
        (encoded(GREY, "TIFF", save_all=True, append_images=[Image.fromarray(GREY)]), "holds 2 images"),
        (encoded(GREY, "PNG", save_all=True, append_images=[Image.fromarray(GREY[::-1])]), "holds 2 images"),
    ],
    ids=["empty", "text", "WebP", "transparent", "CMYK JPEG", "CMYK TIFF", "float TIFF", "12 bits in a PNG",
         "12 bits in a TIFF", "two pages", "animated PNG"],
)  # fmt: skip
def test_what_has_no_certain_grey_level_is_refused_by_name(data, message) -> None:
    with pytest.raises(InputError, match=f"^strip.png .*({message})"):
        images.decode(data, "strip.png")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "TIFF"])
def test_a_file_cut_anywhere_is_refused(kind) -> None:
    data = encoded(GREY, kind)
    # A PNG is whole without its last chunk's checksum, a TIFF of Pillow ends with its pixels.
    for length in {9, len(data) // 4, len(data) // 2, len(data) * 9 // 10, len(data) - 13}:
        with pytest.raises(InputError, match="corrupt or cut short"):
            images.decode(data[:length], "strip")


def test_a_jpeg_without_its_end_or_with_bytes_lost_inside_is_refused() -> None:
    data = encoded(np.tile(GREY, (8, 8)), "JPEG")
    middle = len(data) // 2
    for damaged in (
        data[:-2],
        data[:middle] + data[middle + 512 :],
        data[:middle] + bytes(2048) + data[middle + 2048 :],
    ):
        with pytest.raises(InputError, match="corrupt or cut short"):
            images.decode(damaged, "strip")


def test_every_changed_byte_of_a_png_is_noticed() -> None:
    data = encoded(GREY[:8, :8], "PNG")
    for place in range(len(data) - 12):  # the last chunk holds nothing
        changed = bytearray(data)
        changed[place] ^= 1
        with pytest.raises(InputError):
            images.decode(bytes(changed), "strip")


@pytest.mark.parametrize("size", [None, (256, 1600)], ids=["any size", "the networks' size"])
@pytest.mark.parametrize(
    "data",
    [of_size(encoded(GREY, "JPEG"), 32000, 32000), png_of_size(32000, 32000), png_of_size(10_000, 8_001),
     encoded(Image.new("1", (12000, 8000)), "TIFF", compression="group4")],
    ids=["JPEG", "PNG", "PNG just too large", "TIFF"],
)  # fmt: skip
def test_a_small_file_that_claims_many_pixels_is_refused_before_it_is_decoded(data, size, monkeypatch) -> None:
    monkeypatch.setattr(images, "_grey", None)
    monkeypatch.setattr(images.simplejpeg, "decode_jpeg", None)
    with pytest.raises(InputError, match=r"32000x32000|10000x8001|8000x12000|more than 80,000,000"):
        images.decode(data, "bomb", size)


def test_a_progressive_jpeg_of_many_scans_is_refused() -> None:
    data = encoded(GREY, "JPEG", progressive=True)
    start = data.rindex(b"\xff\xda")
    with pytest.raises(InputError, match="scans"):
        images.decode(data[:-2] + data[start:-2] * 200 + data[-2:], "strip")
