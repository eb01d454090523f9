"""The libraries that tuning is timed against compute the same grid."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from support.plain_tuning import grids_of_map

from benchmarks import tuning_baselines
from severstal.postprocess.rules import ComponentArea


@pytest.mark.parametrize(
    ("package", "baseline"),
    [("higra", tuning_baselines.higra_tree), ("skimage", tuning_baselines.skimage_area_openings)],
    ids=["higra", "scikit-image"],
)
def test_a_library_gives_the_same_grid_to_the_last_bit(package: str, baseline) -> None:
    pytest.importorskip(package)
    rng = np.random.default_rng(0)
    smooth = cv2.GaussianBlur(rng.normal(0, 1, (60, 90)), (0, 0), 2)
    probability = np.clip(smooth / smooth.std() * 60 + 90, 0, 255).astype(np.uint8)
    for truth in (smooth > 0.1, np.zeros(smooth.shape, dtype=bool)):
        assert np.array_equal(baseline(probability, truth), grids_of_map(probability, truth)[ComponentArea])
