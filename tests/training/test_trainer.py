"""Training: resumed equals uninterrupted, metric over the fold, what is asked for decides what is redone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from support.commands import ROOT, arguments_of, run_stage_alone
from support.training import ENCODER, job, same, weights_of

from severstal import recipe
from severstal.data import out_of_fold
from severstal.data.labels import masks
from severstal.data.memory_map import TrainingStrips
from severstal.data.strips import read
from severstal.data.training_set import TrainingSet, read_training_set
from severstal.errors import InputError
from severstal.models.inference_graph import load_inference_graph
from severstal.postprocess.metric import dice, dice_of_counts
from severstal.postprocess.rules.axes import MIN_AREAS
from severstal.training.crops import CropDataset, unpack_masks
from severstal.training.sampling import ClassSampler, CropRequest
from severstal.training.trainer import Trainer


def test_stopped_by_ctrl_c_it_goes_on_and_ends_with_the_same_weights(tiny, monkeypatch) -> None:
    job(tiny).run()
    straight, log = weights_of(tiny), tiny.fold(ENCODER, 0).log.read_text()
    for file in (tiny.fold(ENCODER, 0).weights, tiny.fold(ENCODER, 0).oof):
        file.unlink()
    whole_run_epoch = Trainer._run_epoch

    def interrupted(self, epoch):
        if epoch == 2:
            raise KeyboardInterrupt
        return whole_run_epoch(self, epoch)

    monkeypatch.setattr(Trainer, "_run_epoch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        job(tiny).run()
    assert tiny.fold(ENCODER, 0).checkpoint.exists()
    assert not tiny.fold(ENCODER, 0).weights.exists()
    monkeypatch.setattr(Trainer, "_run_epoch", whole_run_epoch)
    job(tiny).run()
    assert same(weights_of(tiny), straight)
    resumed = [json.loads(line) for line in tiny.fold(ENCODER, 0).log.read_text().splitlines()]
    assert [line["loss"] for line in resumed] == [json.loads(line)["loss"] for line in log.splitlines()]
    assert not tiny.fold(ENCODER, 0).checkpoint.exists()


@pytest.mark.slow
def test_killed_it_goes_on_and_ends_with_the_same_weights(tiny) -> None:
    job(tiny, {"epochs": 4}, fold=1).run()
    straight, files = weights_of(tiny, 1), tiny.fold(ENCODER, 1)
    files.weights.unlink()
    files.oof.unlink()
    command = [sys.executable, str(ROOT / "src" / "train.py"), *arguments_of(tiny), ENCODER, "1"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not files.checkpoint.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not files.weights.exists(), "it was killed too late to test anything"
    subprocess.run(command, check=True, capture_output=True)
    assert same(weights_of(tiny, 1), straight)


def test_the_log_holds_the_metric_of_the_best_weights_over_the_whole_fold(tiny) -> None:
    """The log's best Dice is that of the kept weights on whole strips, one mean over (strip, class)."""
    made = job(tiny, {"tta": [], "amp": "off", "eval_batch_size": 4})
    made.run()
    lines = [json.loads(line) for line in made.member.files.log.read_text().splitlines()]
    best = max(lines, key=lambda line: line["dice"])
    store, data = out_of_fold.FoldMaps(made.member.files.oof, ""), made.data
    scores = [dice(store[image] >= 128, masks(data.labels[image], data.height, data.width)) for image in store.images]
    assert np.mean(scores) == pytest.approx(best["dice_untuned"], abs=1e-9)
    assert best["dice"] == pytest.approx(np.mean(best_of_whole_masks(store, data)), abs=1e-9)
    assert best["dice"] >= best["dice_untuned"]


def best_of_whole_masks(store: out_of_fold.FoldMaps, data: TrainingSet) -> list[float]:
    """Each class's best mean Dice over threshold and least pixels of the mask, counted the plain way."""
    truths = np.stack([masks(data.labels[image], data.height, data.width) for image in store.images])
    maps, pixels = np.stack([store[image] for image in store.images]), truths.sum(axis=(2, 3))
    made = []
    for threshold in range(1, 256):
        above = maps >= threshold
        counts = above.sum(axis=(2, 3))
        kept = dice_of_counts((above & truths).sum(axis=(2, 3)), counts + pixels)
        made += [np.where(counts >= area, kept, pixels == 0).mean(axis=0) for area in MIN_AREAS]
    return np.max(made, axis=0).tolist()


def test_out_of_fold_maps_are_of_the_held_out_strips(tiny) -> None:
    made = job(tiny)
    made.run()
    store = out_of_fold.FoldMaps(made.member.files.oof, "")
    held_out = made.data.images(0, held_out=True)
    assert sorted(store.images) == sorted(held_out)
    model = load_inference_graph(made.member, torch.device("cpu"))
    strip = torch.from_numpy(read(tiny.train_images / held_out[0]))[None, None]
    with torch.inference_mode():
        expected = model(strip)[0][0].numpy()
    assert np.abs(store[held_out[0]].astype(int) - expected).max() <= 1


def test_what_is_finished_is_found_so_until_its_inputs_change(tiny) -> None:
    made = job(tiny, {"epochs": 1})
    assert not made.is_finished()
    made.run()
    assert job(tiny).is_finished(), "the value given when it was trained stays with the fold"
    assert not job(tiny, {"epochs": 2}).is_trained()
    again = job(tiny, {"epochs": 1, "tta": []})
    assert again.is_trained()
    assert not again.is_predicted(), "other flips need other out-of-fold maps, not another training"


def test_a_fold_trained_otherwise_is_kept_aside(tiny) -> None:
    job(tiny, {"epochs": 1}).run()
    first = weights_of(tiny)
    job(tiny, {"epochs": 1, "learning_rate": 0.01}).run()
    aside = tiny.folds / ENCODER / "0.previous" / "weights.safetensors"
    assert same(load_file(aside), first)
    assert not same(weights_of(tiny), first)
    with pytest.raises(InputError, match="holds an earlier one already"):
        job(tiny, {"epochs": 1, "learning_rate": 0.02}).run()


def test_kinds_of_strips_appear_in_their_shares(tiny) -> None:
    data = read_training_set(tiny)
    chosen = recipe.named("sample", {"samples_per_run_epoch": 4000, "class_sampling": (0.4, 0.3, 0.1, 0.1, 0.1)})
    draws = list(ClassSampler(data, sorted(data.labels), chosen))
    shares = np.bincount([draw.defect for draw in draws], minlength=5) / len(draws)
    assert np.abs(shares - (0.4, 0.3, 0.1, 0.1, 0.1)).max() < 0.03
    assert all(draw.defect in data.labels[draw.image] for draw in draws if draw.defect)


def test_processes_share_one_list_of_samples(tiny) -> None:
    data, chosen = read_training_set(tiny), recipe.read(tiny.recipe)
    whole = list(ClassSampler(data, sorted(data.labels), chosen))
    parts = [list(ClassSampler(data, sorted(data.labels), chosen, rank, 2)) for rank in range(2)]
    assert [draw for pair in zip(*parts, strict=True) for draw in pair] == whole


def test_a_crop_drawn_for_a_class_holds_it(tiny) -> None:
    data = read_training_set(tiny)
    chosen = recipe.read(tiny.recipe).model_copy(
        update={"foreground_crop_share": 1.0, "crop_height": 48, "crop_width": 48}
    )
    crops = CropDataset(TrainingStrips(data), chosen)
    crops._augment = lambda image, mask: {"image": image, "mask": mask}
    crops._augment.set_random_seed = lambda seed: None
    for draw in ClassSampler(data, sorted(data.labels), chosen):
        crop, bits = crops[draw]
        assert crop.shape == (1, 48, 48)
        assert bits.shape == (48, 48)
        if draw.defect:
            assert unpack_masks(bits[None])[0, draw.defect - 1].any()


def test_crops_avoid_the_black_bar(tiny) -> None:
    """A strip whose right half is bar: no crop without a defect reaches into it where the steel is wide enough."""
    strip = np.full((64, 96), 120, dtype=np.uint8)
    strip[:, 56:] = 2
    cv2.imwrite(str(tiny.train_images / "000000000.jpg"), strip)
    crops = CropDataset(
        TrainingStrips(read_training_set(tiny)),
        recipe.read(tiny.recipe).model_copy(update={"crop_height": 48, "crop_width": 48}),
    )
    lefts = {
        crops._position(CropRequest("000000000.jpg", 0, 0), np.random.default_rng(seed), 48, 48)[1]
        for seed in range(200)
    }
    assert min(lefts) == 0
    assert max(lefts) == 56 - 48


@pytest.mark.slow
def test_two_processes_of_torchrun_train_one_network(tiny) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += [str(ROOT / "src" / "train.py"), *arguments_of(tiny), ENCODER, "0", "--epochs", "1"]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("epoch 1/1") == 1, "one process speaks for both"
    assert job(tiny).is_finished()


@pytest.mark.slow
def test_two_processes_learn_what_one_does_with_the_same_batches(tiny) -> None:
    """Batch statistics, Dice and gradients are those of the global batch: float32 rounding is all that differs."""
    values = [
        "--epochs",
        "2",
        "--amp",
        "off",
        "--batch-size",
        "4",
        "--samples-per-epoch",
        "12",
        "--learning-rate",
        "1e-3",
    ]
    run_stage_alone("train", tiny, ENCODER, "0", *values)
    alone = weights_of(tiny)
    tiny.fold(ENCODER, 0).folder.rename(tiny.folds / "alone")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += [str(ROOT / "src" / "train.py"), *arguments_of(tiny), ENCODER, "0", *values]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    both = weights_of(tiny)
    assert both.keys() == alone.keys()
    losses = [
        [json.loads(line)["loss"] for line in (folder / "log.jsonl").read_text().splitlines()]
        for folder in (tiny.folds / "alone", tiny.fold(ENCODER, 0).folder)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=2e-4)
    # AdamW turns the rounding of a gradient near nothing into a whole step; six steps of 1e-3 were made.
    for name, value in alone.items():
        assert float((both[name].float() - value.float()).abs().max()) < 0.006 + 0.05 * float(value.abs().max()), name
