"""What winners put into training, by values of the recipe: losses, averaged epochs, growing crops, pasted defects."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
import torch
from support.training import ENCODER, job, same, weights_of
from torch.nn import functional as F

from severstal import recipe
from severstal.data import out_of_fold
from severstal.data.memory_map import TrainingStrips
from severstal.data.training_set import read_training_set
from severstal.errors import InputError
from severstal.models.libraries import smp
from severstal.training.augmentation import build_augmentation
from severstal.training.averaging import TopEpochs
from severstal.training.copy_paste import CopyPaste
from severstal.training.crops import CropDataset, crop_side
from severstal.training.load_timer import LoadTimer, describe_loading
from severstal.training.losses import SegmentationLoss, lovasz_hinge, reverse_cross_entropy
from severstal.training.sampling import ClassSampler, CropRequest, crop_scale
from severstal.training.trainer import Trainer

ON = [
    {"finetune_loss": "lovasz", "finetune_start": 0.0},
    {"finetune_loss": "symmetric-lovasz", "finetune_start": 0.0},
    {"finetune_loss": "focal", "finetune_start": 0.0},
    {"reverse_ce_weight": 0.3},
    {"progressive_crops": 0.9, "crop_width": 96},  # tiny strips: 64 px high, so only the width can grow
    {"copy_paste": 0.7},
]


@pytest.fixture
def logits() -> torch.Tensor:
    return torch.randn(3, 4, 12, 20, generator=torch.Generator().manual_seed(0)) * 3


@pytest.fixture
def masks() -> torch.Tensor:
    drawn = torch.rand(3, 4, 12, 20, generator=torch.Generator().manual_seed(1)) < 0.3
    drawn[:, 3] = False  # a class that the batch lacks
    return drawn.float()


def values(**changes) -> recipe.Recipe:
    return recipe.named("sample", {"epochs": 4} | changes)


def test_off_the_loss_is_cross_entropy_and_dice(logits, masks) -> None:
    dice = smp.losses.DiceLoss(mode="multilabel", smooth=1.0)(logits, masks)
    expected = 0.5 * F.binary_cross_entropy_with_logits(logits, masks) + 0.5 * dice
    for epoch in (1, 4):
        assert float(SegmentationLoss(values())(logits, masks, epoch)) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("late", ["lovasz", "symmetric-lovasz", "focal"])
def test_a_late_loss_takes_over_in_its_run_epoch(logits, masks, late) -> None:
    plain, changed = SegmentationLoss(values()), SegmentationLoss(values(finetune_loss=late, finetune_start=0.5))
    for epoch in (1, 2):
        assert torch.equal(changed(logits, masks, epoch), plain(logits, masks, epoch))
    assert not torch.equal(changed(logits, masks, 3), plain(logits, masks, 3))


def test_lovasz_is_that_of_a_loop_over_strips_and_classes(logits, masks) -> None:
    reference = smp.losses.LovaszLoss(mode="binary", per_image=True)
    expected = np.mean([float(reference(logits[:, c : c + 1], masks[:, c : c + 1])) for c in range(3)])
    assert float(lovasz_hinge(logits, masks, symmetric=False)) == pytest.approx(expected, rel=1e-5)
    turned = np.mean([float(reference(-logits[:, c : c + 1], 1 - masks[:, c : c + 1])) for c in range(3)])
    assert float(lovasz_hinge(logits, masks, symmetric=True)) == pytest.approx((expected + turned) / 2, rel=1e-5)


def test_lovasz_without_a_defect_in_the_batch_is_nothing_and_can_be_differentiated(logits) -> None:
    logits.requires_grad_()
    loss = lovasz_hinge(logits, torch.zeros_like(logits), symmetric=False)
    loss.backward()
    assert float(loss.detach()) == 0
    assert not logits.grad.any()


def test_reverse_cross_entropy_is_its_papers_and_bounded(logits, masks) -> None:
    p = torch.sigmoid(logits)
    log = {0.0: -4.0, 1.0: 0.0}
    of_labels = torch.stack([torch.tensor([log[float(v)] for v in plane.flatten()]) for plane in (masks, 1 - masks)])
    expected = -(p.flatten() * of_labels[0] + (1 - p).flatten() * of_labels[1]).mean()
    assert float(reverse_cross_entropy(logits, masks)) == pytest.approx(float(expected), rel=1e-5)
    assert float(reverse_cross_entropy(torch.full((1, 4, 2, 2), 50.0), torch.zeros(1, 4, 2, 2))) == 4


@pytest.mark.parametrize("on", ON, ids=lambda on: next(iter(on)) + str(next(iter(on.values()))))
def test_each_value_changes_the_weights_and_its_off_state_does_not(tiny, on) -> None:
    base = {"epochs": 2, "crop_width": on.get("crop_width", 64)}
    job(tiny, base).run()
    plain = weights_of(tiny)
    off = {"finetune_start": 0.0} if "finetune_loss" in on else {"copy_paste_class": 3} if "copy_paste" in on else {}
    tiny.fold(ENCODER, 0).folder.rename(tiny.folds / "plain")
    job(tiny, base | off).run()
    assert same(weights_of(tiny), plain)
    tiny.fold(ENCODER, 0).folder.rename(tiny.folds / "off")
    job(tiny, base | on).run()
    assert not same(weights_of(tiny), plain)


# -- the best epochs -------------------------------------------------------------------------------


def test_the_best_epochs_are_kept_and_averaged() -> None:
    best = TopEpochs(2)
    for epoch, dice in enumerate((0.5, 0.7, 0.6, 0.7, 0.4), start=1):
        best.add(dice, epoch, lambda epoch=epoch: {"w": torch.tensor([float(epoch)]), "n": torch.tensor(epoch)})
    assert [one["epoch"] for one in best.entries] == [2, 4], "of equals the earlier comes first"
    average = best.average()
    assert average["w"].item() == 3
    assert average["n"].item() == 2


def test_an_average_is_kept_if_it_scores_better_and_survives_an_interruption(tiny, monkeypatch, capsys) -> None:
    wanted = {"average_top_k": 3, "epochs": 4}
    job(tiny, wanted).run()
    straight, said = weights_of(tiny), capsys.readouterr().out
    assert "mean of epochs" in said
    tiny.fold(ENCODER, 0).folder.rename(tiny.folds / "straight")
    epoch_of = Trainer._run_epoch

    def interrupted(self, epoch):
        if epoch == 3:
            raise KeyboardInterrupt
        return epoch_of(self, epoch)

    monkeypatch.setattr(Trainer, "_run_epoch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        job(tiny, wanted).run()
    monkeypatch.setattr(Trainer, "_run_epoch", epoch_of)
    job(tiny, wanted).run()
    assert same(weights_of(tiny), straight)


@pytest.mark.parametrize("better", [True, False])
def test_the_verdict_on_an_average_is_its_score(tiny, monkeypatch, better) -> None:
    made = job(tiny, {"average_top_k": 2, "epochs": 2})
    scores = Trainer._validate
    asked = []

    def last_is_set(self):
        found = scores(self)
        asked.append(1)
        if len(asked) == 3:  # after two epochs: that of the average
            found = type(found)(default=found.default, tuned=np.full(4, 1.0 if better else 0.0))
        return found

    monkeypatch.setattr(Trainer, "_validate", last_is_set)
    made.run()
    from severstal.models import weights

    epochs = weights.read_metadata(made.member.files.weights, "")["epoch"]
    assert (epochs == "1+2") == better


# -- samples ---------------------------------------------------------------------------------------


def test_crops_grow_evenly_and_in_steps_that_networks_take() -> None:
    chosen = values(epochs=10, progressive_crops=0.4)
    assert [crop_scale(chosen, epoch) for epoch in (1, 2, 3, 4, 5, 10)] == [0.5, 0.625, 0.75, 0.875, 1, 1]
    assert [crop_side(256, share) for share in (0.5, 0.6, 0.75, 1)] == [128, 128, 192, 256]
    assert crop_side(64, 0.5) == 64
    assert crop_side(100, 1.0) == 100, "a size that was asked for is left alone"
    assert [crop_scale(values(epochs=10), epoch) for epoch in (1, 10)] == [1, 1]


def test_growing_crops_have_their_size_in_every_batch(tiny) -> None:
    data = read_training_set(tiny)
    chosen = recipe.read(tiny.recipe).model_copy(update={"progressive_crops": 0.9, "crop_width": 96})
    sampler, crops = ClassSampler(data, sorted(data.labels), chosen), CropDataset(TrainingStrips(data), chosen)
    for epoch, width in ((1, 64), (3, 96)):
        sampler.epoch = epoch
        assert {crops[draw][1].shape for draw in sampler} == {(64, width)}


def test_a_pasted_defect_is_in_the_mask_and_looks_like_its_donors(tiny) -> None:
    source = TrainingStrips(read_training_set(tiny))
    donor = next(image for image, codes in source._data.labels.items() if 2 in codes)
    paste, rng = CopyPaste(source, 2), np.random.default_rng(0)
    flat, nothing = np.full((64, 96), 90, dtype=np.uint8), np.zeros((64, 96), dtype=np.uint8)
    grey, bits = paste(flat, nothing, donor, rng)
    inside = bits == 1 << 1
    assert inside.any()
    assert set(np.unique(bits)) == {0, 2}
    assert (flat == 90).all(), "the strip itself is not written to"
    assert grey[inside].std() > 10, "noise of the donor"
    far = np.ones_like(inside)
    rows, columns = np.nonzero(inside)
    far[max(rows.min() - 20, 0) : rows.max() + 20, max(columns.min() - 20, 0) : columns.max() + 20] = False
    assert (grey[far] == 90).all()
    assert abs(grey[inside].mean() - 90) < 40, "the donor's brightness was not brought to the place's"


def test_what_is_covered_is_no_defect_any_more(tiny) -> None:
    source = TrainingStrips(read_training_set(tiny))
    donor = next(image for image, codes in source._data.labels.items() if 2 in codes)
    full = np.full((64, 96), 1 << 2, dtype=np.uint8)
    _, bits = CopyPaste(source, 2)(np.full((64, 96), 90, np.uint8), full, donor, np.random.default_rng(0))
    assert set(np.unique(bits)) == {1 << 1, 1 << 2}


def test_beyond_the_edge_of_the_steel_nothing_is_pasted(tiny) -> None:
    source = TrainingStrips(read_training_set(tiny))
    donor = next(image for image, codes in source._data.labels.items() if 2 in codes)
    black = np.zeros((64, 96), dtype=np.uint8)
    grey, bits = CopyPaste(source, 2)(black, black, donor, np.random.default_rng(0))
    assert not grey.any()
    assert not bits.any()


def test_donors_come_in_their_share_from_the_folds_own_training_part(tiny) -> None:
    data = read_training_set(tiny)
    images = data.images(0, held_out=False)
    chosen = recipe.read(tiny.recipe).model_copy(update={"copy_paste": 0.3, "samples_per_run_epoch": 4000})
    draws = list(ClassSampler(data, images, chosen))
    donors = [draw.donor for draw in draws if draw.donor]
    assert abs(len(donors) / len(draws) - 0.3) < 0.03
    assert set(donors) <= {image for image in images if 2 in data.labels[image]}
    plain = list(ClassSampler(data, images, chosen.model_copy(update={"copy_paste": 0.0})))
    assert [(d.image, d.defect, d.seed) for d in draws] == [(d.image, d.defect, d.seed) for d in plain]


def test_a_draw_gives_the_same_sample_every_time(tiny) -> None:
    data = read_training_set(tiny)
    chosen = recipe.read(tiny.recipe).model_copy(update={"copy_paste": 1.0})
    draw = next(iter(ClassSampler(data, sorted(data.labels), chosen)))
    assert isinstance(draw, CropRequest)
    assert draw.donor
    first, second = (CropDataset(TrainingStrips(data), chosen)[draw] for _ in range(2))
    assert all(torch.equal(*pair) for pair in zip(first, second, strict=True))


# -- waiting for samples ---------------------------------------------------------------------------


def test_the_time_spent_waiting_for_samples_is_told_and_kept(tiny, capsys) -> None:
    made = job(tiny, {"epochs": 1})
    made.run()
    (line,) = [json.loads(line) for line in made.member.files.log.read_text().splitlines()]
    assert 0 < line["loading_share"] < 1
    assert f"loading {line['loading_share']:.1%}" in capsys.readouterr().out


def test_waiting_counts_the_source_and_not_the_work() -> None:
    load_timer = LoadTimer()

    def slow():
        for number in range(3):
            time.sleep(0.03)
            yield number

    began = time.monotonic()
    for _ in load_timer(slow()):
        time.sleep(0.05)
    assert 0.09 <= load_timer.seconds < time.monotonic() - began - 0.15 + 0.02
    assert describe_loading(0.02, 0) == "loading 2.0%"
    assert "--num-workers 1" in describe_loading(0.2, 0)
    assert "more than 3 loader processes" in describe_loading(0.2, 3)


# -- augmentation ------------------------------------------------------------------------------------


def test_strong_augmentation_exchanges_rows_and_columns_of_strip_and_mask_alike() -> None:
    """A bright band down the columns, which is the defect too, lies along the rows in about half of the samples."""
    grey = np.full((64, 64), 90, dtype=np.uint8)
    grey[:, 24:40] = 200
    along = {"light": 0, "strong": 0}
    for strength in along:
        change = build_augmentation(strength)
        for seed in range(60):
            change.set_random_seed(seed)
            made = change(image=grey, mask=(grey == 200).astype(np.uint8))
            drawn = made["mask"] > 0
            bright = made["image"] > (int(made["image"].min()) + int(made["image"].max())) / 2
            assert (drawn == bright).mean() > 0.9
            along[strength] += drawn[32].mean() > drawn[:, 32].mean()
    assert along["light"] == 0
    assert 15 < along["strong"] < 45


def test_strong_augmentation_takes_square_crops(tiny) -> None:
    with pytest.raises(InputError, match=r"^recipe: augment: strong .* 64x96 are not square: choose --crop-height"):
        values(augment="strong", crop_height=64, crop_width=96)
    source = TrainingStrips(read_training_set(tiny))
    _, height, width = source.shape
    assert height < width
    crops = CropDataset(source, values(augment="strong", crop_height=width, crop_width=width))
    grey, bits = crops[CropRequest("000000000.jpg", 0, 0)]
    assert grey.shape[1:] == bits.shape == (height, height)


# -- the classifier --------------------------------------------------------------------------------


def test_the_classifiers_probabilities_are_kept_beside_the_out_of_fold_maps(tiny) -> None:
    trained = job(tiny, {"classifier_loss_weight": 1.0, "epochs": 1})
    trained.run()
    store = out_of_fold.FoldMaps(trained.member.files.oof, "")
    class_probabilities = np.array([store.class_probability(image) for image in store.images])
    assert class_probabilities.shape == (len(store.images), 4)
    maxima = np.array([store[image].max(axis=(1, 2)) for image in store.images])
    assert not np.array_equal(class_probabilities, maxima), "these are the maxima of the maps, not the classifier's"
