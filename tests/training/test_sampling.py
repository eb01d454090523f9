"""Samplers: shares of clean strips and classes, of several processes, of pasted defects, of crop sizes."""

from __future__ import annotations

import numpy as np
import pytest

from severstal import recipe
from severstal.data.training_set import TrainingSet, read_training_set
from severstal.recipe import Recipe
from severstal.training.sampling import ClassSampler, CropRequest, crop_scale


@pytest.fixture
def data(tiny) -> TrainingSet:
    return read_training_set(tiny)


def values(tiny, **changes) -> Recipe:
    return recipe.read(tiny).model_copy(update=changes)


def test_clean_strips_and_classes_appear_in_their_shares(tiny, data) -> None:
    shares = (0.4, 0.3, 0.1, 0.1, 0.1)
    chosen = values(tiny, samples_per_epoch=4000, class_sampling=shares)
    requests = list(ClassSampler(data, sorted(data.labels), chosen))
    drawn = np.bincount([request.defect for request in requests], minlength=5) / len(requests)
    assert np.abs(drawn - shares).max() < 0.03
    assert all(request.defect in data.labels[request.image] for request in requests if request.defect)
    assert not any(data.labels[request.image] for request in requests if not request.defect)


def test_the_share_of_a_class_without_strips_goes_to_the_others(tiny, data) -> None:
    images = [image for image in data.labels if 3 not in data.labels[image]]
    chosen = values(tiny, samples_per_epoch=4000, class_sampling=(0.2, 0.2, 0.2, 0.2, 0.2))
    requests = list(ClassSampler(data, images, chosen))
    drawn = np.bincount([request.defect for request in requests], minlength=5) / len(requests)
    assert np.abs(drawn - (0.25, 0.25, 0.25, 0, 0.25)).max() < 0.03


def test_processes_share_one_list_of_samples(tiny, data) -> None:
    images = sorted(data.labels)
    everything = list(ClassSampler(data, images, values(tiny)))
    parts = [list(ClassSampler(data, images, values(tiny), rank, 2)) for rank in range(2)]
    assert [request for pair in zip(*parts, strict=True) for request in pair] == everything
    assert len(ClassSampler(data, images, values(tiny), 0, 2)) == len(parts[0])


def test_each_epoch_draws_others_and_the_same_epoch_the_same(tiny, data) -> None:
    sampler = ClassSampler(data, sorted(data.labels), values(tiny))
    epochs = []
    for epoch in (1, 2, 1):
        sampler.epoch = epoch
        epochs.append(list(sampler))
    assert epochs[0] == epochs[2] != epochs[1]


def test_donors_come_in_their_share_from_the_folds_own_training_part(tiny, data) -> None:
    images = data.images(0, held_out=False)
    chosen = values(tiny, copy_paste=0.3, samples_per_epoch=4000)
    requests = list(ClassSampler(data, images, chosen))
    donors = [request.donor for request in requests if request.donor]
    assert abs(len(donors) / len(requests) - 0.3) < 0.03
    assert set(donors) <= {image for image in images if 2 in data.labels[image]}
    without = list(ClassSampler(data, images, values(tiny, samples_per_epoch=4000)))
    assert [place(request) for request in requests] == [place(request) for request in without]
    assert not any(request.donor for request in without)


def place(request: CropRequest) -> tuple[str, int, int]:
    return request.image, request.defect, request.seed


def test_progressive_crops_grow_evenly_from_a_half_to_the_full_size(tiny) -> None:
    growing = values(tiny, epochs=10, progressive_crops=0.4)
    assert [crop_scale(growing, epoch) for epoch in (1, 2, 3, 4, 5, 10)] == [0.5, 0.625, 0.75, 0.875, 1, 1]
    assert [crop_scale(values(tiny, epochs=10), epoch) for epoch in (1, 10)] == [1, 1]
