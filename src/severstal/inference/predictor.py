"""The Python API: a trained ensemble that predicts single strips.

from severstal import Predictor

predictor = Predictor("folds")
prediction = predictor.predict("strip.jpg")
prediction.classes, prediction.areas, prediction.masks
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from functools import cached_property, partial
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from severstal.data import strips
from severstal.data.images import check_size, decode
from severstal.engines import catalog
from severstal.engines.base import BATCH_SIZE
from severstal.engines.outputs import Outputs
from severstal.errors import InputError
from severstal.experiment import synthetic_origin
from severstal.inference.ensemble import WARM_UP_CALLS, Ensemble, load_ensemble
from severstal.inference.members import ready_members
from severstal.inference.strip_prediction import StripPrediction
from severstal.inference.time_budget import MemberTime, fit_to_budget
from severstal.paths import Paths
from severstal.postprocess import tuned_values
from severstal.postprocess.rules import masks_of

Image = np.ndarray | str | Path
ANY_SIZE_ENGINE = "torch"  # runs strips of another size than the exported graphs take


class Predictor:
    """A trained, tuned and exported ensemble, loaded once; its masks are those of ``submission.csv``.

    Attributes:
        height: of the strips that the networks take, in pixels.
        width: of the strips, in pixels.
        engine: name of the engine that runs the networks.
        members: names of the networks in use, such as ``resnet34 fold 0``.
        synthetic_origin: how synthetic steel taught them, in words; empty where none did.
        left_out: names of the networks that :meth:`fit_to_budget` dropped.
    """

    def __init__(self, folder: str | Path, engine: str = "auto") -> None:
        """Load every network of the ensemble.

        Args:
            folder: the folds folder of an experiment, or the folder that holds ``folds/``.
            engine: ``auto`` is TensorRT or PyTorch in float16 on a GPU, else OpenVINO; others are listed by
                ``bash bin/export.sh --help``.

        Raises:
            InputError: if a network is missing or belongs to other tuned values, or the engine is not installed; the
                message names the file and the command that makes it.
        """
        paths = experiment_paths(Path(folder))
        tuned = tuned_values.read(paths)
        self.engine = catalog.choose(engine)
        members = ready_members(paths, tuned, self.engine)
        config = members[0].config()
        self.height, self.width = config.height, config.width
        self.members = [member.name for member in members]
        self.synthetic_origin = synthetic_origin(members)
        self.left_out: list[str] = []
        self._rules = tuned.rules
        self._ensemble = load_ensemble(members, tuned.ensemble_weights, self.engine)
        self._load_any_size = partial(load_ensemble, members, tuned.ensemble_weights, ANY_SIZE_ENGINE)

    def predict(self, image: Image) -> StripPrediction:
        """Find the defects of one strip.

        Args:
            image: an image file, or an array ``uint8 [H, W]`` of grey levels or ``uint8 [H, W, 3]`` in RGB.

        Raises:
            InputError: if the image is corrupt, or not of the networks' size.
        """
        (prediction,) = self.predict_arrays(self._strip(image)[np.newaxis])
        return prediction

    def predict_many(self, images: Iterable[Image], batch_size: int = BATCH_SIZE) -> Iterator[StripPrediction]:
        """Find the defects of several strips, in their order; ``batch_size`` strips are in memory at a time.

        Raises:
            InputError: as :meth:`predict`, when the iteration reaches the image.
        """
        remaining = iter(images)
        while batch := [self._strip(image) for image in islice(remaining, batch_size)]:
            yield from self.predict_arrays(np.stack(batch))

    def predict_arrays(self, batch: np.ndarray) -> list[StripPrediction]:
        """Find the defects of decoded strips, which may have another size than those that the networks were trained on.

        Exported graphs take strips of one size. Others run in PyTorch, which pads them to the network's stride and cuts
        the maps back; its networks are loaded when the first such strip occurs.

        Args:
            batch: ``uint8 [N, H, W]``.
        """
        return self.post_process(batch, *self.probabilities(batch))

    def probabilities(self, batch: np.ndarray) -> tuple[Outputs, float]:
        """The ensemble's outputs for strips ``uint8 [N, H, W]`` of any size, and the seconds that a strip took."""
        started = time.monotonic()
        trained_size = batch.shape[1:] == (self.height, self.width)
        outputs = (self._ensemble if trained_size else self._any_size_ensemble)(batch)
        return outputs, (time.monotonic() - started) / len(batch)

    def post_process(self, batch: np.ndarray, outputs: Outputs, seconds: float) -> list[StripPrediction]:
        """Masks of strips ``uint8 [N, H, W]`` from what :meth:`probabilities` returned; may run in another thread."""
        started = time.monotonic()
        answers = list(zip(*outputs, strict=True))
        masks = [masks_of(*answer, self._rules) for answer in answers]
        seconds += (time.monotonic() - started) / len(batch)
        return [
            StripPrediction(strip, mask, maps, class_probabilities / 255, seconds)
            for strip, mask, (maps, class_probabilities) in zip(batch, masks, answers, strict=True)
        ]

    def decode(self, data: bytes, name: str) -> np.ndarray:
        """A strip ``uint8 [H, W]`` from the content of an image file.

        Args:
            name: of the file, for error messages.

        Raises:
            InputError: if the content is no complete image of the networks' size.
        """
        return decode(data, name, (self.height, self.width))

    def measure(self) -> list[MemberTime]:
        """The seconds that each network needs for a strip on this machine, after calls that warm it up."""
        blank = np.zeros((1, self.height, self.width), dtype=np.uint8)
        self._ensemble.time_members = True
        for _ in range(WARM_UP_CALLS):
            self._ensemble(blank)
        self._ensemble.reset_times()
        self._ensemble(blank)
        self._ensemble.time_members = False
        return self._ensemble.times()

    def fit_to_budget(self, times: list[MemberTime], max_seconds: float) -> None:
        """Keep the networks that together predict a strip within ``max_seconds``, and never less than the quickest.

        Args:
            times: of the networks in use, as :meth:`measure` returns them.
        """
        seconds = [member.seconds for member in times]
        kept = fit_to_budget(seconds, [member.encoder for member in times], max_seconds)
        kept = kept or [int(np.argmin(seconds))]
        self._ensemble.keep(kept)
        self.left_out += [name for index, name in enumerate(self.members) if index not in kept]
        self.members = [self.members[index] for index in kept]

    def _strip(self, image: Image) -> np.ndarray:
        if isinstance(image, str | Path):
            return strips.read(Path(image), (self.height, self.width))
        if image.dtype != np.uint8:
            raise InputError(f"the image is an array of {image.dtype}: give grey levels from 0 to 255 as uint8")
        if image.ndim == 3 and image.shape[2] == 3:
            image = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        if image.ndim != 2:
            raise InputError(f"the image has the shape {image.shape}: give an array [H, W] or [H, W, 3]")
        check_size(image.shape[0], image.shape[1], "the image", (self.height, self.width))
        return image

    @cached_property
    def _any_size_ensemble(self) -> Ensemble:
        return self._load_any_size()


def experiment_paths(folder: Path) -> Paths:
    """The folders of an experiment.

    Args:
        folder: its folds folder, or the folder that holds ``folds/``.

    Raises:
        InputError: if there is no experiment.
    """
    folder = folder.resolve()
    for root, folds in ((folder.parent, folder), (folder, folder / "folds")):
        paths = Paths(root / "input", folds, root / "submissions")
        if paths.recipe.exists():
            return paths
    raise InputError(
        f"{folder} holds no trained ensemble (neither {paths.recipe.name} nor {folds.name}/{paths.recipe.name}): name "
        "the folds folder of an experiment"
    )
