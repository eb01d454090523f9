"""The kinds of files that are damaged: how the project reads each, and an oracle that says what is in it.

An oracle uses another reader (pandas, OpenCV, the standard library) or the content of the intact file where a checksum
has to notice every change.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.soak.fuzzed_file import FuzzedFile, expect
from benchmarks.soak.fuzzed_images import BmpImage, DemoUpload, PngImage, StripImage, TiffImage
from severstal import recipe
from severstal.data import strips
from severstal.data.labels import Labels, read_labels
from severstal.data.out_of_fold import FoldMaps
from severstal.paths import Paths
from severstal.postprocess import tuned_values


class TrainCsv(FuzzedFile):
    """``train.csv``; read again by pandas."""

    def __init__(self, paths: Paths) -> None:
        super().__init__(paths)
        self.path = paths.train_csv
        self.images = strips.listing(paths.train_images)
        self.height, self.width = strips.read(paths.train_images / self.images[0]).shape

    def read(self) -> Labels:
        return read_labels(self.path, self.height, self.width, self.images)

    def check(self, value: Labels) -> None:
        header = self.path.read_text(encoding="utf-8-sig").split("\n")[0]
        separator = next(letter for letter in ",;\t" if letter in header)
        table = pd.read_csv(self.path, sep=separator, dtype=str, keep_default_na=False, index_col=False)
        table.columns = [str(name).strip().lower() for name in table.columns]
        named = {image.lower(): image for image in self.images}
        found: dict[str, dict[int, list[int]]] = {image: {} for image in self.images}
        for row in table.to_dict("records"):
            if "imageid" in row:
                image, defect = row["imageid"], row["classid"]
            else:
                image, defect = row["imageid_classid"].rsplit("_", 1)
            if row["encodedpixels"].strip():
                code = [int(number) for number in row["encodedpixels"].split()]
                found[named[image.strip().lower()]][int(float(defect))] = code
        read = {
            image: {c: [int(n) for n in code.split()] for c, code in codes.items()} for image, codes in value.items()
        }
        expect(read == found, "pandas reads other labels")


class RecipeFile(FuzzedFile):
    """A recipe of one's own; read again by tomllib."""

    TEXT = (
        'extends = "sample"\nepochs = 7\nlearning_rate = 2e-3\ntta = ["horizontal"]\naugment = "light"\n'
        "crop_height = 64\ncrop_width = 64\n\n[encoders.resnet34]\n\n[encoders.tu-resnet10t]\nepochs = 5\n"
    )

    def __init__(self, paths: Paths) -> None:
        super().__init__(paths)
        self.path = paths.folds / "mine.toml"
        self.path.write_text(self.TEXT)

    def read(self) -> recipe.Recipe:
        return recipe.named(str(self.path))

    def check(self, value: recipe.Recipe) -> None:
        written = tomllib.loads(self.path.read_text(encoding="utf-8"))
        written.pop("extends", None)
        different = _differences(written, json.loads(value.model_dump_json()))
        expect(not different, "; ".join(different))


def _differences(written: Any, read: Any, place: str = "") -> list[str]:
    """Values that a file holds and that were read otherwise; what it lacks has a default."""
    if isinstance(written, dict) and isinstance(read, dict):
        values = [(f"{place}.{name}", written[name], read[name]) for name in written.keys() & read.keys()]
    elif isinstance(written, list) and isinstance(read, list) and len(written) == len(read):
        values = [(f"{place}[{i}]", a, b) for i, (a, b) in enumerate(zip(written, read, strict=True))]
    else:
        is_path = isinstance(written, str) and read == str(Path(written).absolute())  # relative paths are completed
        return [] if written == read or is_path else [f"{place} is read as {read!r}, not {written!r}"]
    return [text for name, ours, theirs in values for text in _differences(ours, theirs, name)]


class JsonFile(FuzzedFile):
    """A JSON file with a model; read again by json, value by value."""

    reader: Callable[[], Any]

    def read(self) -> dict[str, Any]:
        return json.loads(self.reader().model_dump_json(exclude_none=True))

    def check(self, value: dict[str, Any]) -> None:
        written = json.loads(self.path.read_text(encoding="utf-8"))
        different = _differences(written, value)
        expect(not different, "; ".join(different))


class FoldConfig(JsonFile):
    def __init__(self, paths: Paths) -> None:
        super().__init__(paths)
        self.path, self.reader = self.member.files.config, self.member.config


class TunedValuesFile(JsonFile):
    def __init__(self, paths: Paths) -> None:
        super().__init__(paths)
        self.path = paths.postprocess
        self.reader = lambda: tuned_values.read(paths)


class OutOfFoldMaps(FuzzedFile):
    """``oof.npz``; its checksums have to notice every change."""

    def __init__(self, paths: Paths) -> None:
        super().__init__(paths)
        self.path = self.member.files.oof

    def load(self) -> None:
        self.intact = self.read()

    def read(self) -> dict[str, list[Any]]:
        maps = FoldMaps(self.path, "bash bin/train.sh")
        return {image: [maps[image].tolist(), maps.class_probability(image).tolist()] for image in maps.images}

    def check(self, value: dict[str, list[Any]]) -> None:
        # Names of strips have no checksum; tuning compares them with the split.
        same = all(maps == self.intact[image] for image, maps in value.items() if image in self.intact)
        expect(same and len(value) == len(self.intact), "the maps changed, which the checksums have to notice")


class OnnxFile(FuzzedFile):
    """``model.onnx``; its hash has to notice every change of the network."""

    def __init__(self, paths: Paths) -> None:
        super().__init__(paths)
        self.path = self.member.files.onnx

    def load(self) -> None:
        self.batch = strips.read(self.strip)[None]
        self.intact = self.read()

    def read(self) -> list[Any]:
        from severstal.engines.onnx_file import check_identity
        from severstal.engines.onnxruntime_engine import OnnxRuntimeEngine

        check_identity(self.member)
        return [answer.tolist() for answer in OnnxRuntimeEngine.load(self.member)(self.batch)]

    def check(self, value: list[Any]) -> None:
        expect(value == self.intact, "the network answers otherwise")


class WeightsFile(FuzzedFile):
    """``weights.safetensors``: whatever loads, prediction refuses other weights than were tuned with."""

    def __init__(self, paths: Paths) -> None:
        super().__init__(paths)
        self.path = self.member.files.weights

    def load(self) -> None:
        from severstal.models.unet import build_unet

        self.intact = self.path.read_bytes()
        self.network = build_unet(self.member.config().recipe, self.member.encoder)

    def read(self) -> str:
        from severstal.inference.members import check_ready
        from severstal.models import weights

        weights.load(self.path, self.network, self.member.remake)
        tuned = tuned_values.read(self.paths)
        if self.path.read_bytes() != self.intact:  # its message names the member: the file itself is readable
            expect(tuned.members[self.member.name] != self.member.weights_hash(), "the hash did not change")
        else:
            check_ready(self.member, tuned)
        return self.member.weights_hash()

    def check(self, value: str) -> None:
        pass  # read() compared the hashes


KINDS: dict[str, type[FuzzedFile]] = {
    "train.csv": TrainCsv,
    "JPEG": StripImage,
    "PNG": PngImage,
    "BMP": BmpImage,
    "TIFF": TiffImage,
    "recipe": RecipeFile,
    "config.json": FoldConfig,
    "postprocess.json": TunedValuesFile,
    "oof.npz": OutOfFoldMaps,
    "model.onnx": OnnxFile,
    "weights.safetensors": WeightsFile,
    "upload": DemoUpload,
}
