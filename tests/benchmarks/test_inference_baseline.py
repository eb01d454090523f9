"""The baselines of the speed benchmark predict what the networks predict, with a classifier and without."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from support.experiments import SMALLEST, TINY, write_random_weights, write_tiny

from benchmarks.inference_baseline import BatchedBaseline, NaiveBaseline
from severstal import recipe
from severstal.data import strips
from severstal.experiment import FoldConfig, Member
from severstal.models.inference_graph import load_inference_graph
from severstal.postprocess.rules import DEFAULT


@pytest.mark.parametrize("weight", [0.0, 0.1])
def test_baselines_predict_what_the_network_predicts(tmp_path: Path, weight: float) -> None:
    paths = write_tiny(tmp_path)
    values = {"name": "tiny"} | TINY | {"encoders": {SMALLEST: {}}, "classifier_loss_weight": weight}
    chosen = recipe.build(values | {"tta": ["horizontal"]})
    member = Member(paths, SMALLEST, 0)
    config = FoldConfig(
        encoder=SMALLEST, fold=0, recipe=chosen, data="d", synthetic=False,
        height=64, width=96, mean=0.5, std=0.2, versions={},
    )  # fmt: skip
    write_random_weights(member, config)
    images = strips.listing(paths.train_images)[:3]
    batch = torch.from_numpy(np.stack([strips.read(paths.train_images / image) for image in images]))[:, None]
    with torch.inference_mode():
        expected = [output.numpy().astype(int) for output in load_inference_graph(member, torch.device("cpu"))(batch)]
    for kind in (NaiveBaseline, BatchedBaseline):
        baseline = kind(member, (DEFAULT,) * 4)
        read = np.stack([baseline._read(paths.train_images / image) for image in images])
        found = [np.stack(outputs) for outputs in zip(*baseline._average_views(read), strict=True)]
        for levels, probabilities in zip(expected, found, strict=True):
            assert np.abs(levels - 255 * probabilities).max() <= 1
        baseline.predict(paths.train_images, images)
