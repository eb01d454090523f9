"""Crops: they hold the class they were drawn for, stay on steel, have their size, and repeat for the same request."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from severstal import recipe
from severstal.data.memory_map import TrainingStrips
from severstal.data.training_set import TrainingSet, read_training_set
from severstal.errors import InputError
from severstal.recipe import Recipe
from severstal.training import crops as crops_module
from severstal.training.augmentation import build_augmentation
from severstal.training.crops import CropDataset, crop_side, unpack_masks
from severstal.training.sampling import ClassSampler, CropRequest


@pytest.fixture
def data(tiny) -> TrainingSet:
    return read_training_set(tiny)


def values(tiny, **changes) -> Recipe:
    return recipe.read(tiny).model_copy(update=changes)


class NoAugmentation:
    def set_random_seed(self, seed: int) -> None:
        pass

    def __call__(self, image: np.ndarray, mask: np.ndarray) -> dict[str, np.ndarray]:
        return {"image": image, "mask": mask}


@pytest.fixture
def unaugmented(monkeypatch) -> None:
    monkeypatch.setattr(crops_module, "build_augmentation", lambda strength: NoAugmentation())


def test_a_crop_drawn_for_a_class_holds_it(tiny, data, unaugmented) -> None:
    chosen = values(tiny, foreground_crop_share=1.0, crop_height=48, crop_width=48)
    crops = CropDataset(TrainingStrips(data), chosen)
    for request in ClassSampler(data, sorted(data.labels), chosen):
        crop, bit_map = crops[request]
        assert crop.shape == (1, 48, 48)
        assert bit_map.shape == (48, 48)
        if request.defect:
            assert unpack_masks(bit_map[None])[0, request.defect - 1].any()


def test_crops_without_a_defect_come_from_the_whole_strip_also_from_the_black_bar(tiny, unaugmented) -> None:
    """Right of column 56 the strip is black; elsewhere a column's grey gives its number."""
    strip = np.tile(60 + 2 * np.arange(96, dtype=np.uint8), (64, 1))
    strip[:, 56:] = 2
    cv2.imwrite(str(tiny.train_images / "000000000.jpg"), strip, [cv2.IMWRITE_JPEG_QUALITY, 100])
    crops = CropDataset(TrainingStrips(read_training_set(tiny)), values(tiny, crop_height=48, crop_width=48))
    samples = [crops[CropRequest("000000000.jpg", 0, seed)][0][0].float() for seed in range(100)]
    lefts = {round((float(sample[:, 0].mean()) - 60) / 2) for sample in samples}
    black = {int((sample.mean(dim=0) < 20).sum()) for sample in samples}
    assert (min(lefts), max(lefts)) == (0, 96 - 48)
    assert (min(black), max(black)) == (0, 96 - 56)


def test_growing_crops_have_one_size_in_every_batch(tiny, data) -> None:
    chosen = values(tiny, progressive_crops=0.9, crop_width=96)
    sampler, crops = ClassSampler(data, sorted(data.labels), chosen), CropDataset(TrainingStrips(data), chosen)
    for epoch, width in ((1, 64), (3, 96)):
        sampler.epoch = epoch
        assert {crops[request][1].shape for request in sampler} == {(64, width)}


def test_sides_are_multiples_that_networks_accept_and_a_full_side_is_left_alone() -> None:
    assert [crop_side(256, scale) for scale in (0.5, 0.6, 0.75, 1)] == [128, 128, 192, 256]
    assert crop_side(64, 0.5) == 64
    assert crop_side(100, 1.0) == 100


def test_a_request_gives_the_same_crop_every_time(tiny, data) -> None:
    chosen = values(tiny, copy_paste=1.0)
    request = next(iter(ClassSampler(data, sorted(data.labels), chosen)))
    assert request.donor
    first, second = (CropDataset(TrainingStrips(data), chosen)[request] for _ in range(2))
    assert all(torch.equal(*pair) for pair in zip(first, second, strict=True))


def test_strong_augmentation_transposes_crop_and_masks_alike() -> None:
    """A bright vertical band, which is the defect too, becomes horizontal in about half of the samples."""
    grey = np.full((64, 64), 90, dtype=np.uint8)
    grey[:, 24:40] = 200
    horizontal = {"light": 0, "strong": 0}
    for strength in horizontal:
        augment = build_augmentation(strength)
        for seed in range(60):
            augment.set_random_seed(seed)
            augmented = augment(image=grey, mask=(grey == 200).astype(np.uint8))
            mask, image = augmented["mask"] > 0, augmented["image"]
            bright = image > (int(image.min()) + int(image.max())) / 2
            assert (mask == bright).mean() > 0.9
            horizontal[strength] += mask[32].mean() > mask[:, 32].mean()
    assert horizontal["light"] == 0
    assert 15 < horizontal["strong"] < 45


def test_appearance_augmentation_varies_the_greys_more_than_light_and_moves_masks_as_light_does() -> None:
    random = np.random.default_rng(0)
    grey = random.integers(60, 120, size=(64, 64), dtype=np.uint8)
    grey[20:40, 20:40] += 80
    spread = {}
    for strength in ("light", "appearance"):
        augment = build_augmentation(strength)
        levels = []
        for seed in range(60):
            augment.set_random_seed(seed)
            augmented = augment(image=grey, mask=(grey >= 140).astype(np.uint8))
            mask, image = augmented["mask"] > 0, augmented["image"].astype(float)
            assert image[mask].mean() > image[~mask].mean() + 20
            levels.append([image[~mask].mean(), image[~mask].std()])
        spread[strength] = np.std(levels, axis=0)
    assert (spread["appearance"] > 1.3 * spread["light"]).all()


def test_strong_augmentation_takes_square_crops(tiny, data) -> None:
    with pytest.raises(InputError, match=r"augment: strong .* 64x96 are not square: choose --crop-height"):
        recipe.build(recipe.read(tiny).model_dump() | {"augment": "strong", "crop_width": 96})
    crops = CropDataset(TrainingStrips(data), values(tiny, augment="strong", crop_height=96, crop_width=96))
    grey, bit_map = crops[CropRequest("000000000.jpg", 0, 0)]
    assert grey.shape[1:] == bit_map.shape == (64, 64), "strips of 64 pixels' height limit both sides"


def test_the_bits_of_the_classes_are_copied_to_the_device_once(monkeypatch) -> None:
    """On a GPU each such copy waits for all work that is queued there."""
    bit_maps = torch.tensor([[[0, 1, 2, 12]]], dtype=torch.uint8)
    masks = unpack_masks(bit_maps)
    assert masks[0, :, 0].tolist() == [[0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 1]]
    monkeypatch.delattr(torch, "tensor")
    assert torch.equal(unpack_masks(bit_maps), masks)
