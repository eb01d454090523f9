"""Random flips and changes of brightness and shape that a crop and its masks get."""

from __future__ import annotations

import os
from dataclasses import dataclass

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # else it queries PyPI at import, and waits when offline
import albumentations as A


@dataclass(frozen=True)
class Limits:
    """Largest changes.

    Attributes:
        brightness: share of the full range of grey.
        contrast: relative.
        scale: factors of the size.
        degrees: of the rotation, either way.
        affine_share: share of the crops that are scaled, rotated and sheared.
    """

    brightness: float
    contrast: float
    scale: tuple[float, float]
    degrees: float
    affine_share: float


_LIGHT = Limits(brightness=0.15, contrast=0.2, scale=(0.85, 1.15), degrees=6, affine_share=0.4)
_STRONG = Limits(brightness=0.25, contrast=0.3, scale=(0.75, 1.25), degrees=12, affine_share=0.6)


def build_augmentation(strength: str) -> A.Compose:
    """The transforms of a strength, ``light``, ``strong`` or ``appearance``, in the order in which they are applied.

    Strong ones are for few strips, which are shown often; they also transpose, so crops must be square. Appearance is
    for networks that will meet steel unlike their training strips: also gamma, focus and noise vary.
    """
    transforms = {
        "light": [*_flips(), *_changes(_LIGHT)],
        "strong": [
            *_flips(),
            A.Transpose(p=0.5),
            A.RandomGamma(gamma_limit=(60, 160), p=0.5),
            *_changes(_STRONG),
        ],
        "appearance": [
            *_flips(),
            *_changes(_LIGHT),
            A.RandomGamma(gamma_limit=(50, 200), p=0.5),
            A.RandomBrightnessContrast(brightness_limit=0.2, contrast_limit=0.3, p=0.5),
            A.GaussianBlur(sigma_limit=(0.5, 2.0), p=0.2),
            A.GaussNoise(std_range=(0.01, 0.06), p=0.3),
            A.Sharpen(p=0.15),
        ],
    }
    return A.Compose(transforms[strength], seed=0)  # the seed is replaced for every crop


def _flips() -> list[A.BasicTransform]:
    return [A.HorizontalFlip(p=0.5), A.VerticalFlip(p=0.5)]


def _changes(limits: Limits) -> list[A.BasicTransform]:
    """Brightness, shape and a little noise, which every strength changes."""
    return [
        A.RandomBrightnessContrast(brightness_limit=limits.brightness, contrast_limit=limits.contrast, p=0.7),
        A.Affine(
            scale=limits.scale,
            rotate=(-limits.degrees, limits.degrees),
            shear=(-4, 4),
            border_mode=4,
            p=limits.affine_share,
        ),
        A.GaussNoise(std_range=(0.005, 0.02), p=0.15),
    ]
