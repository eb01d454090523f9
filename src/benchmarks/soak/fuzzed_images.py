"""Fuzzed images: strips in every format, and requests that upload one to the demo."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import cv2
import numpy as np

from benchmarks.soak.fuzzed_file import FuzzedFile, expect
from severstal.data import strips
from severstal.paths import Paths


class StripImage(FuzzedFile):
    """A strip in one of the formats; decoded again by OpenCV, and a PNG compared with the intact one."""

    suffix = ".jpg"

    def __init__(self, paths: Paths) -> None:
        super().__init__(paths)
        self.intact = strips.read(self.strip)
        self.path = self.strip.with_name(f"fuzzed{self.suffix}")
        self.path.write_bytes(cv2.imencode(self.suffix, self.intact)[1].tobytes())

    def read(self) -> np.ndarray:
        return strips.read(self.path, self.intact.shape)

    def check(self, value: np.ndarray) -> None:
        expect(value.dtype == np.uint8 and value.shape == self.intact.shape, f"it is {value.dtype} {value.shape}")
        decoded = cv2.imdecode(np.fromfile(self.path, np.uint8), cv2.IMREAD_GRAYSCALE)
        if decoded is not None:  # OpenCV knows fewer kinds of BMP and TIFF
            expect(np.abs(decoded.astype(int) - value).max() <= 1, "OpenCV decodes other pixels")


class PngImage(StripImage):
    suffix = ".png"

    def check(self, value: np.ndarray) -> None:
        expect(np.array_equal(value, self.intact), "the pixels changed, which the checksums have to notice")


class BmpImage(StripImage):
    suffix = ".bmp"


class TiffImage(StripImage):
    suffix = ".tiff"


class DemoUpload(StripImage):
    """A request that uploads a strip to the demo, damaged anywhere: its boundary, its names, the image in it."""

    HEAD = b'--frontier\r\nContent-Disposition: form-data; name="strip"; filename="a.jpg"\r\n\r\n'

    def __init__(self, paths: Paths) -> None:
        super().__init__(paths)
        self.path = self.strip.with_name("a.jpg.request")
        self.path.write_bytes(self.HEAD + self.strip.read_bytes() + b"\r\n--frontier--\r\n")

    def load(self) -> None:
        from severstal.demo.app import application
        from severstal.inference.predictor import Predictor

        app = application(Predictor(self.paths.folds, "onnxruntime"), [])
        app.config["PROPAGATE_EXCEPTIONS"] = True
        self.client = app.test_client()

    def read(self) -> Any:
        kind = "multipart/form-data; boundary=frontier"
        reply = self.client.post("/strip", input_stream=BytesIO(self.path.read_bytes()), content_type=kind,
                                 content_length=self.path.stat().st_size)  # fmt: skip
        expect(reply.status_code in (200, 400, 413), f"the answer has the code {reply.status_code}")
        return reply.get_json()

    def check(self, value: Any) -> None:
        if "error" in value:
            expect(len(value["error"].splitlines()) == 1, f"the message has several lines: {value['error']!r}")
        else:
            expect((value["height"], value["width"]) == self.intact.shape, "another size is answered")
