"""Looking at single strips with the ensemble: which defects, where, how large, how surely.

Engines are loaded once and stay; every strip gets the masks that prediction would write.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import cv2
import numpy as np

from severstal.data import strips
from severstal.data.labels import CLASSES
from severstal.engines import catalog
from severstal.errors import InputError
from severstal.inference import prediction
from severstal.inference.members import ready_members
from severstal.inference.time_budget import affordable
from severstal.paths import Paths
from severstal.postprocess import tuned_values
from severstal.postprocess.components import connected_components
from severstal.postprocess.rules import Rule, masks_of

WARM_UPS = 2  # a runtime's first call allocates; the second tells what a strip costs
DEFAULT_LIMIT = 0.85  # seconds of networks per strip, so that an answer comes within one


@dataclass(frozen=True)
class Finding:
    """One class on one strip.

    Attributes:
        defects: connected components.
        area: pixels of the mask.
        share: of the strip.
        confidence: mean probability over the mask's pixels, 0 to 1.
    """

    defect: int
    defects: int
    area: int
    share: float
    confidence: float


@dataclass(frozen=True)
class Seen:
    """A strip ``uint8 [H, W]``, its masks ``bool [4, H, W]``, findings of the classes that occur, and the seconds."""

    strip: np.ndarray
    masks: np.ndarray
    findings: list[Finding]
    seconds: float


class Inspector:
    """A loaded, warmed-up ensemble with its tuned cuts."""

    def __init__(self, paths: Paths, engine: str) -> None:
        """Load every network that prediction would use.

        Raises:
            InputError: if one is missing or stale, or the engine is not there.
        """
        values = tuned_values.read(paths.postprocess)
        members = ready_members(paths, values)
        config = members[0].config()
        self.height, self.width, self.engine = config.height, config.width, catalog.choose(engine)
        self.all = [member.name for member in members]
        self.names = list(self.all)
        self._cuts: tuple[Rule, ...] = values.rules
        self._encoders = [member.encoder for member in members]
        loaded = [catalog.engine_class(self.engine).load(member) for member in members]
        self._ensemble = prediction.Ensemble(loaded, [values.ensemble_weights[member.encoder] for member in members])
        self.seconds = self._warm_up()

    def _warm_up(self) -> list[float]:
        """Seconds per strip of each network."""
        blank = np.zeros((1, self.height, self.width), dtype=np.uint8)
        for _ in range(WARM_UPS):
            before = self._ensemble.seconds.copy()
            self._ensemble(blank)
        return (self._ensemble.seconds - before).tolist()

    def fit_to_budget(self, limit: float) -> None:
        """Go on with the networks that together answer within ``limit`` seconds; at the least with the quickest."""
        kept = affordable(self.seconds, self._encoders, limit) or [int(np.argmin(self.seconds))]
        self._ensemble.keep(kept)
        self.names = [self.names[i] for i in kept]
        self.seconds = [self.seconds[i] for i in kept]
        self._encoders = [self._encoders[i] for i in kept]

    def decode(self, data: bytes, name: str) -> np.ndarray:
        """A strip from a JPEG file's content, ``uint8 [H, W]``.

        Raises:
            InputError: if it is no whole JPEG of the networks' size.
        """
        return strips.sized(strips.decode(data, name), name, self.height, self.width)

    def look(self, strip: np.ndarray) -> Seen:
        """Find the defects of a strip ``uint8 [H, W]``."""
        began = time.monotonic()
        probability, class_probability = (answer[0] for answer in self._ensemble(strip[None]))
        masks = masks_of(probability, class_probability, self._cuts)
        findings = [finding(defect, masks[defect - 1], probability[defect - 1]) for defect in CLASSES]
        return Seen(strip, masks, [one for one in findings if one.area], time.monotonic() - began)


def finding(defect: int, made: np.ndarray, probability: np.ndarray) -> Finding:
    """Measure one class's mask, bool ``[H, W]``, with its ``uint8 [H, W]`` probabilities."""
    area = int(np.count_nonzero(made))
    count = len(connected_components(made)[1]) - 1
    confidence = float(probability[made].mean() / 255) if area else 0.0
    return Finding(defect, count, area, area / made.size, confidence)


def jpeg(picture: np.ndarray) -> bytes:
    """A picture as a JPEG file's content."""
    done, coded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 92])
    if not done:
        raise InputError("the overlay could not be encoded as JPEG")
    return coded.tobytes()
