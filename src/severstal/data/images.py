"""Grey pixels from the content of an image file: JPEG, PNG, BMP or TIFF, told apart by the first bytes, not by names.

The size stands in the header and is checked before a pixel is decoded. Damage is refused wherever the format shows it:

* JPEG: every warning of libjpeg counts as damage (a code that does not exist, data missing or left over before a
  marker, a missing end). The format has no checksum, so a changed bit can decode to other pixels without a warning.
* PNG: the checksum of every chunk is compared.
* BMP and TIFF: missing data and a broken compression; their pixels have no checksum.
"""

from __future__ import annotations

import warnings
from io import BytesIO

import cv2
import numpy as np
import simplejpeg
from PIL import ExifTags, Image, ImageOps, TiffImagePlugin

from severstal.errors import InputError, first_line

SIGNATURES = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"BM": "BMP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",  # BigTIFF
    b"MM\0+": "TIFF",
}
MAX_PIXELS = 80_000_000  # 4,096 x 16,384 pixels are 67 million
MAX_BYTES_PER_PIXEL = 8  # of a file: an uncompressed TIFF with four channels of 16 bits
MAX_SCANS = 100  # of a progressive JPEG, which usually has 10; a hostile one decodes the whole image thousands of times
START_OF_SCAN = b"\xff\xda"
MIN_BRIGHTEST = 16  # of 255: a 16-bit image that is darker everywhere holds the levels of a 10- or 12-bit camera
EXIF, MAX_EXIF_START = b"Exif\0\0", 1 << 16  # the segment stands near the start of a JPEG
ORIENTATION, UPRIGHT, LAST_UNSWAPPED = ExifTags.Base.Orientation, 1, 4  # 5 to 8 exchange height and width
ALPHA_MODES = ("LA", "PA", "RGBA")
PNG_BIT_DEPTH = 24  # its place in a PNG
DAMAGED = "copy or download it again"
CONVERT = "save it as grey or RGB with 8 bits per channel"

# Pillow goes on after these warnings: of an image with more than 89 million pixels, and of a TIFF that lacks some
# tags. What it says of odd tags that no pixel depends on is not shown.
warnings.simplefilter("error", Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", module=r"PIL\.TiffImagePlugin")
warnings.filterwarnings("error", "Corrupt EXIF|Truncated File Read|Possibly corrupt", module=r"PIL\.TiffImagePlugin")


def format_of(start: bytes) -> str | None:
    """The format of an image file, from at least its first 8 bytes; None for every other file."""
    return next((name for signature, name in SIGNATURES.items() if start.startswith(signature)), None)


def decode(data: bytes, name: str, size: tuple[int, int] | None = None) -> np.ndarray:
    """Grey levels of an image file, ``uint8 [H, W]``, turned as its orientation tag says.

    Colour becomes the luma of ITU-R BT.601 (0.299 R + 0.587 G + 0.114 B), which of equal channels is that level.
    Of more than 8 bits per channel the upper 8 are kept. Colour profiles are not applied.

    Args:
        data: the file's content.
        name: of the file, for messages.
        size: height and width that the image must have; any size up to :data:`MAX_PIXELS` by default.

    Raises:
        InputError: naming the file, if it is empty, corrupt, of another format or size, or its pixels have no certain
            grey level (transparency, CMYK, several images, 32 bits).
    """
    if not data:
        raise InputError(f"{name} is empty (0 bytes): {DAMAGED}")
    kind = format_of(data)
    if kind is None:
        raise InputError(
            f"{name} is no JPEG, PNG, BMP or TIFF image (it starts with {data[:4].hex(' ')}): replace it with one"
        )
    try:
        return _decode_jpeg(data, name, size) if kind == "JPEG" else _decode_other(data, name, size, kind)
    except (InputError, MemoryError):
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise InputError(f"{name} claims more than {MAX_PIXELS:,} pixels: {DAMAGED}") from None
    except Exception as error:  # whatever a decoder raises on a corrupt file: Pillow has a dozen types for it
        raise InputError(f"{name} is corrupt or cut short ({kind}: {first_line(error)}): {DAMAGED}") from None


def decode_values(data: bytes, name: str, size: tuple[int, int]) -> np.ndarray:
    """The values that a PNG of one channel stores, ``uint8 [H, W]``: indices of its colours, or grey levels.

    Raises:
        InputError: naming the file, if it is no such PNG, is corrupt, or has another size.
    """
    if format_of(data[:8]) != "PNG":
        raise InputError(f"{name} is no PNG: save the mask as one with indexed colours, which loses no value")
    try:
        with Image.open(BytesIO(data), formats=["PNG"]) as picture:
            check_size(picture.height, picture.width, name, size)
            if picture.mode not in ("P", "L"):
                raise InputError(f"{name} has pixels of the kind {picture.mode}: save the mask with indexed colours")
            _check_checksums(data)
            return np.array(picture)
    except InputError:
        raise
    except Exception as error:  # whatever Pillow raises on a corrupt file
        raise InputError(f"{name} is corrupt or cut short (PNG: {first_line(error)}): {DAMAGED}") from None


def bits_of(data: bytes) -> int:
    """Bits per channel of an image that :func:`decode` takes."""
    kind = format_of(data[:8])
    if kind not in ("PNG", "TIFF"):
        return 8
    with Image.open(BytesIO(data), formats=[kind]) as picture:
        return _bits(picture, data, kind)


def check_size(height: int, width: int, name: str, size: tuple[int, int] | None) -> None:
    """Raise an :class:`InputError` that names the file if an image has another size, or too many pixels."""
    if size and (height, width) != size:
        raise InputError(
            f"{name} is {height}x{width} pixels (height x width) where {size[0]}x{size[1]} is expected: all strips of "
            "a data set and of its networks have one size; resize or remove it"
        )
    if height * width > MAX_PIXELS:
        raise InputError(
            f"{name} is {height}x{width} pixels, more than the {MAX_PIXELS:,} that are accepted: cut it into strips"
        )


def _decode_jpeg(data: bytes, name: str, size: tuple[int, int] | None) -> np.ndarray:
    height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
    orientation = _jpeg_orientation(data)
    check_size(*_turned_size(height, width, orientation), name, size)
    if colours in ("CMYK", "YCCK"):
        raise InputError(f"{name} is a {colours} image, made for printing: {CONVERT}")
    if data.count(START_OF_SCAN) > MAX_SCANS:
        raise InputError(f"{name} has {data.count(START_OF_SCAN)} scans: save it as a baseline JPEG")
    grey = simplejpeg.decode_jpeg(data, "GRAY", strict=True)[..., 0]  # strict: a warning is an error
    return _turned(grey, orientation)


def _jpeg_orientation(data: bytes) -> int:
    if EXIF not in data[:MAX_EXIF_START]:  # Pillow would read the header of every strip again
        return UPRIGHT
    with Image.open(BytesIO(data), formats=["JPEG"]) as picture:
        return _orientation(picture)


def _decode_other(data: bytes, name: str, size: tuple[int, int] | None, kind: str) -> np.ndarray:
    """The grey levels of a PNG, BMP or TIFF."""
    with Image.open(BytesIO(data), formats=[kind]) as picture:
        # Pillow turns a TIFF itself, and asking a PNG without the tag would decode it.
        orientation = _orientation(picture) if kind == "PNG" and "exif" in picture.info else UPRIGHT
        check_size(*_turned_size(picture.height, picture.width, orientation), name, size)
        if kind == "PNG":
            _check_checksums(data)
        if (count := getattr(picture, "n_frames", 1)) > 1:
            raise InputError(f"{name} holds {count} images: save each as a file of its own")
        picture.load()
        return _turned(_grey(picture, _bits(picture, data, kind), name), orientation)


def _check_checksums(data: bytes) -> None:
    """Raise if a chunk of a PNG differs from its checksum; decoding compares only those of the header's chunks."""
    with Image.open(BytesIO(data), formats=["PNG"]) as picture:
        picture.verify()


def _bits(picture: Image.Image, data: bytes, kind: str) -> int:
    """Bits per channel in the file."""
    if isinstance(picture, TiffImagePlugin.TiffImageFile):
        return int(max(picture.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE, (1,))))
    return data[PNG_BIT_DEPTH] if kind == "PNG" else 8


def _grey(picture: Image.Image, bits: int, name: str) -> np.ndarray:
    """Grey levels ``uint8 [H, W]`` of a loaded picture.

    Args:
        bits: per channel in the file.
    """
    _check_opaque(picture, name)
    if picture.mode in ("1", "L"):
        grey = np.array(picture.convert("L"))
    elif picture.mode.startswith("I;16"):
        _check_black_is_zero(picture, name)
        grey = (np.asarray(picture) >> (bits - 8)).astype(np.uint8)
    elif picture.mode in ("P", "RGB", "YCbCr", *ALPHA_MODES):
        grey = cv2.cvtColor(np.asarray(picture.convert("RGB")), cv2.COLOR_RGB2GRAY)
    else:
        raise InputError(f"{name} holds pixels of the kind {picture.mode}, which have no certain grey level: {CONVERT}")
    brightest = int(np.max(grey))
    if bits > 8 and 0 < brightest < MIN_BRIGHTEST:
        raise InputError(
            f"{name} has {bits} bits per pixel and uses only the lower ones (brightest level {brightest} of 255), as a "
            "10- or 12-bit camera writes them: scale its levels to the full range, or save it with 8 bits"
        )
    return grey


def _check_opaque(picture: Image.Image, name: str) -> None:
    if picture.mode not in ALPHA_MODES and "transparency" not in picture.info:
        return
    if picture.mode.startswith("I") or np.asarray(picture.convert("RGBA"))[..., -1].min() < 255:
        raise InputError(f"{name} has transparent pixels: save it without transparency")


def _check_black_is_zero(picture: Image.Image, name: str) -> None:
    """Raise if a 16-bit TIFF stores white as 0; Pillow inverts only those of 8 bits."""
    tags = picture.tag_v2 if isinstance(picture, TiffImagePlugin.TiffImageFile) else {}
    if tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 0:
        raise InputError(f"{name} has 16 bits and stores white as level 0: {CONVERT}")


def _orientation(picture: Image.Image) -> int:
    """The Exif orientation, 1 to 8."""
    value = picture.getexif().get(ORIENTATION, UPRIGHT)
    return value if value in range(1, 9) else UPRIGHT


def _turned_size(height: int, width: int, orientation: int) -> tuple[int, int]:
    return (width, height) if orientation > LAST_UNSWAPPED else (height, width)


def _turned(grey: np.ndarray, orientation: int) -> np.ndarray:
    if orientation == UPRIGHT:
        return grey
    picture = Image.fromarray(grey)
    picture.getexif()[ORIENTATION] = orientation
    return np.array(ImageOps.exif_transpose(picture))
