"""The two settings of the synthetic data set: ``plain`` steel, and ``wide``, which networks for real strips learn from.

``plain`` is what the recipe ``sample`` is scored on, so its strips never change. ``wide`` shows more textures, light
and cameras (:mod:`severstal.synthetic.wide_surface`), and defects that are smaller, fainter and more alike to them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from severstal.synthetic import surface, wide_surface
from severstal.synthetic.placement import KINDS, Kind
from severstal.synthetic.plan import PLAIN_NAMES, WIDE_NAMES
from severstal.synthetic.surface import Bar


@dataclass(frozen=True)
class Variety:
    """How strips are drawn.

    Attributes:
        draw_bar: the black bar beside the steel.
        draw_steel: grey levels ``float32 [256, 1600]`` of steel without defects.
        photograph: the picture ``uint8 [256, 1600]`` of steel and bar.
        kinds: appearances of each class.
        name_key: see :func:`severstal.synthetic.plan.plan`.
        visibility: least and greatest factor of a defect's contrast; None leaves it as it is drawn.
    """

    draw_bar: Callable[[np.random.Generator], Bar]
    draw_steel: Callable[[np.random.Generator], np.ndarray]
    photograph: Callable[[np.random.Generator, np.ndarray, Bar], np.ndarray]
    kinds: Mapping[int, tuple[Kind, ...]]
    name_key: int
    visibility: tuple[float, float] | None = None


WIDE_KINDS: Mapping[int, tuple[Kind, ...]] = {
    1: (
        Kind("pit", 0.5, (26, 0.34), (43, 0.55), 0.37, 1.5),
        Kind("pit", 0.4, (18, 0.3), (28, 0.45), 0.4, 1.0),
        Kind("spall", 0.1, (24, 0.3), (32, 0.4), 0.4, 1.5),
    ),
    2: (
        Kind("sliver", 0.7, (20, 0.37), (161, 0.40), 0.46, 1.0),
        Kind("sliver", 0.3, (14, 0.3), (90, 0.40), 0.46, 1.0),
    ),
    3: (
        Kind("streak", 0.27, (26, 0.46), (300, 0.05), 0.0, 0.7),
        Kind("streak", 0.24, (25, 0.53), (141, 0.48), 0.33, 1.5),
        Kind("streak", 0.08, (16, 0.35), (60, 0.4), 0.3, 1.0),
        Kind("field", 0.08, (204, 0.50), (300, 0.05), 0.0, 7.0),
        Kind("scratch", 0.1, (190, 0.75), (60, 0.60), 0.72, 4.0),
        Kind("scratch", 0.05, (420, 0.6), (26, 0.4), 0.3, 3.0),
        Kind("spall", 0.14, (46, 0.60), (53, 0.58), 0.85, 2.5),
        Kind("spall", 0.04, (26, 0.35), (260, 0.35), 0.0, 1.5),
    ),
    4: (
        Kind("rough", 0.85, (128, 0.75), (101, 0.60), 0.67, 10.0),
        Kind("rough", 0.15, (330, 0.5), (170, 0.4), 0.5, 12.0),
    ),
}

VARIETIES = {
    "plain": Variety(surface.draw_bar, surface.draw_steel, surface.photograph, KINDS, PLAIN_NAMES),
    "wide": Variety(
        wide_surface.draw_bar,
        wide_surface.draw_steel,
        wide_surface.photograph,
        WIDE_KINDS,
        WIDE_NAMES,
        visibility=(0.5, 1.15),
    ),
}
