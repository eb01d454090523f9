"""The loader's benchmark: its baseline loads the same strips and masks, and both rates are reported."""

from __future__ import annotations

import numpy as np
from support.commands import run_stage_alone

from benchmarks.loader_baseline import BaselineDataset
from severstal.data.labels import masks
from severstal.data.training_set import read_training_set
from severstal.training.sampling import CropRequest


def test_the_baseline_gives_the_masks_of_the_codes(tiny) -> None:
    data = read_training_set(tiny)
    dataset = BaselineDataset(data, 64, 96)  # whole strips: only flips move pixels
    for image, codes in data.labels.items():
        strip, loaded = dataset[CropRequest(image, 0, 0)]
        assert strip.shape == (3, 64, 96)
        assert loaded.shape == (64, 96, 4)
        expected = masks(codes, 64, 96)
        flips = [expected, expected[:, ::-1], expected[..., ::-1], expected[:, ::-1, ::-1]]
        assert any(np.array_equal(loaded.numpy().transpose(2, 0, 1), flipped) for flipped in flips)


def test_the_benchmark_reports_both_rates_with_and_without_loader_processes(tiny) -> None:
    printed = run_stage_alone("benchmarks/loader", tiny, "--samples", "16", "--rounds", "1").stdout
    assert printed.count("samples/s, baseline") == 2
