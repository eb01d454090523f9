"""How closely an engine's 8-bit maps match PyTorch's on real strips, and whether that is close enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from severstal.engines.base import Tolerance
from severstal.engines.outputs import Predict
from severstal.errors import EngineRefused

PARITY_STRIPS = 8  # held-out strips that an engine is compared on


@dataclass(frozen=True)
class Parity:
    """Differences between an engine and PyTorch over some strips.

    Attributes:
        strips: how many were compared.
        largest: largest difference of a pixel's probability, of 255.
        mean: mean difference of a pixel's probability, of 255.
        flipped: share of pixels, over the four classes, on the other side of the threshold.
        class_probability: largest difference of a class probability, of 255.
    """

    strips: int
    largest: int
    mean: float
    flipped: float
    class_probability: int

    def as_json(self) -> dict[str, float]:
        return asdict(self)

    def __str__(self) -> str:
        text = f"largest difference {self.largest}/255, mean {self.mean:.2g}/255, {self.flipped:.2g} of pixels flip"
        if self.class_probability > self.largest:
            text += f", class probabilities differ by up to {self.class_probability}/255"
        return text


def compare(reference: Predict, engine: Predict, strips: np.ndarray, thresholds: Sequence[int]) -> Parity:
    """Run both on strips ``uint8 [N, H, W]``, one at a time.

    Args:
        thresholds: one per class, 0 to 255; a pixel flips where only one of the two maps reaches it.
    """
    levels = np.array(thresholds)[None, :, None, None]
    largest, total, flipped, pixels, class_difference = 0, 0, 0, 0, 0
    for strip in strips:
        expected, expected_classes = reference(strip[None])
        actual, actual_classes = engine(strip[None])
        class_difference = max(class_difference, int(_difference(expected_classes, actual_classes).max()))
        difference = _difference(expected, actual)
        largest, total = max(largest, int(difference.max())), total + int(difference.sum())
        flipped += int(np.count_nonzero((expected >= levels) != (actual >= levels)))
        pixels += difference.size
    return Parity(len(strips), largest, total / pixels, flipped / pixels, class_difference)


def check_parity(subject: str, parity: Parity, tolerance: Tolerance | None) -> None:
    """Raise if an engine differs by more than its tolerance.

    Raises:
        EngineRefused: naming the subject, the differences and the tolerance.
    """
    if tolerance is None:
        return
    if max(parity.largest, parity.class_probability) > tolerance.levels or parity.flipped > tolerance.flipped:
        raise EngineRefused(
            f"{subject} does not match PyTorch: {parity}; tolerated are {tolerance.levels}/255 and "
            f"{tolerance.flipped:g} of pixels. Predict with --engine torch"
        )


def _difference(expected: np.ndarray, actual: np.ndarray) -> np.ndarray:
    return np.abs(expected.astype(np.int16) - actual)
