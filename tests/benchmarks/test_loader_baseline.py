"""What the loader is timed against is a loader: its samples are those of the strips and codes."""

from __future__ import annotations

import numpy as np
from support.commands import run_stage_alone

from benchmarks.loader_baseline import BaselineDataset
from severstal.data.labels import masks
from severstal.data.training_set import read_training_set
from severstal.training.sampling import CropRequest


def test_its_whole_strips_have_the_masks_of_the_codes(tiny) -> None:
    data = read_training_set(tiny)
    items = BaselineDataset(data, 64, 96)  # nothing is cut off; flips alone move what there is
    for image, codes in data.labels.items():
        strip, made = items[CropRequest(image, 0, 0)]
        assert strip.shape == (3, 64, 96)
        assert made.shape == (64, 96, 4)
        expected = masks(codes, 64, 96)
        flipped = [expected, expected[:, ::-1], expected[..., ::-1], expected[:, ::-1, ::-1]]
        assert any(np.array_equal(made.numpy().transpose(2, 0, 1), one) for one in flipped)


def test_the_benchmark_runs(tiny) -> None:
    said = run_stage_alone("benchmark_loader", tiny, "--samples", "16", "--rounds", "1").stdout
    assert said.count("samples/s, the usual way") == 2
