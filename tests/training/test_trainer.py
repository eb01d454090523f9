"""Training: what a fold's folder holds afterwards, and that an interrupted training ends with the same weights."""

from __future__ import annotations

import multiprocessing
import time
from typing import Any

import numpy as np
import pytest
import torch
from support.training import ENCODER, SHARED_VALUES, interrupt, job, log_of, same, weights_of

from severstal.data import out_of_fold
from severstal.data.labels import masks
from severstal.data.strips import read
from severstal.data.training_set import TrainingSet
from severstal.errors import InputError
from severstal.models import weights
from severstal.models.inference_graph import load_inference_graph
from severstal.paths import Paths
from severstal.postprocess.metric import dice, dice_of_counts
from severstal.postprocess.rules.axes import MIN_AREAS
from severstal.training.distributed import Distributed
from severstal.training.epoch_log import EpochLog
from severstal.training.loaders import build_loaders
from severstal.training.trainer import Trainer


def test_the_log_holds_the_metric_of_the_best_weights_over_all_held_out_strips(trained) -> None:
    """The best Dice in the log is that of the weights that were kept: one mean over (strip, class)."""
    best = max(log_of(trained.job.member.paths), key=lambda record: record["dice"])
    maps, data = out_of_fold.FoldMaps(trained.job.member.files.oof, ""), trained.job.data
    scores = [dice(maps[image] >= 128, masks(data.labels[image], data.height, data.width)) for image in maps.images]
    assert np.mean(scores) == pytest.approx(best["dice_untuned"], abs=1e-9)
    assert best["dice"] == pytest.approx(np.mean(best_dice_per_class(maps, data)), abs=1e-9)
    assert best["dice"] >= best["dice_untuned"]


def best_dice_per_class(maps: out_of_fold.FoldMaps, data: TrainingSet) -> list[float]:
    """Each class's best mean Dice over thresholds and minimum mask areas, by plain counting."""
    truths = np.stack([masks(data.labels[image], data.height, data.width) for image in maps.images])
    probability, pixels = np.stack([maps[image] for image in maps.images]), truths.sum(axis=(2, 3))
    scores = []
    for threshold in range(1, 256):
        predicted = probability >= threshold
        counts = predicted.sum(axis=(2, 3))
        kept = dice_of_counts((predicted & truths).sum(axis=(2, 3)), counts + pixels)
        scores += [np.where(counts >= area, kept, pixels == 0).mean(axis=0) for area in MIN_AREAS]
    return np.max(scores, axis=0).tolist()


def test_out_of_fold_maps_are_those_of_the_held_out_strips(trained) -> None:
    maps = out_of_fold.FoldMaps(trained.job.member.files.oof, "")
    held_out = trained.job.data.images(0, held_out=True)
    assert sorted(maps.images) == sorted(held_out)
    graph = load_inference_graph(trained.job.member, torch.device("cpu"))
    strip = torch.from_numpy(read(trained.job.member.paths.train_images / held_out[0]))[None, None]
    with torch.inference_mode():
        expected = graph(strip)[0][0].numpy()
    assert np.abs(maps[held_out[0]].astype(int) - expected).max() <= 1


def test_the_classifiers_probabilities_lie_beside_the_out_of_fold_maps(trained) -> None:
    maps = out_of_fold.FoldMaps(trained.job.member.files.oof, "")
    class_probabilities = np.array([maps.class_probability(image) for image in maps.images])
    assert class_probabilities.shape == (len(maps.images), 4)
    maxima = np.array([maps[image].max(axis=(1, 2)) for image in maps.images])
    assert not np.array_equal(class_probabilities, maxima), "these are the maxima of the maps, not the classifier's"


def test_a_finished_fold_holds_a_log_tensorboard_and_no_checkpoint(trained) -> None:
    files = trained.job.member.files
    assert [record["epoch"] for record in log_of(trained.job.member.paths)] == [1, 2, 3]
    assert list(files.tensorboard.glob("events.*"))
    assert not files.checkpoint.exists()


def test_every_epoch_is_a_line_with_its_dice_and_loading_time(trained) -> None:
    for record in log_of(trained.job.member.paths):
        (line,) = (line for line in trained.console.splitlines() if f"epoch {record['epoch']}/3" in line)
        assert f"Dice {record['dice']:.4f}" in line
        assert 0 < record["loading_share"] < 1
        assert f"loading {record['loading_share']:.1%}" in line


def test_stopped_by_ctrl_c_it_goes_on_and_ends_with_the_same_weights(tiny, trained) -> None:
    interrupt(job(tiny, SHARED_VALUES), epoch=2)
    files = tiny.fold(ENCODER, 0)
    assert files.checkpoint.exists()
    assert not files.weights.exists()
    job(tiny, SHARED_VALUES).run()
    straight = trained.job.member.paths
    assert same(weights_of(tiny), weights_of(straight))
    assert [record["loss"] for record in log_of(tiny)] == [record["loss"] for record in log_of(straight)]
    assert not files.checkpoint.exists()


def test_stopped_while_the_last_epoch_is_logged_it_logs_every_epoch_in_the_end(tiny, monkeypatch) -> None:
    epochs, publish = job(tiny).recipe.epochs, EpochLog.publish

    def stop_at_the_last(log: EpochLog, *arguments: Any) -> None:
        if len(log.records) == epochs:
            raise KeyboardInterrupt
        publish(log, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(EpochLog, "publish", stop_at_the_last)
        with pytest.raises(KeyboardInterrupt):
            job(tiny, SHARED_VALUES).run()
    job(tiny, SHARED_VALUES).run()
    assert [record["epoch"] for record in log_of(tiny)] == list(range(1, epochs + 1))


def train(paths: Paths, num_threads: int) -> None:
    """In a process of its own: a fork of one that computed gradients could compute none."""
    torch.set_num_threads(num_threads)
    job(paths, SHARED_VALUES).run()


def test_killed_it_goes_on_and_ends_with_the_same_weights(tiny, trained) -> None:
    files = tiny.fold(ENCODER, 0)
    process = multiprocessing.get_context("spawn").Process(target=train, args=(tiny, torch.get_num_threads()))
    process.start()
    while not files.checkpoint.exists() and process.is_alive():
        time.sleep(0.005)
    process.kill()
    process.join()
    assert files.checkpoint.exists()
    assert not files.weights.exists(), "it was killed too late to test anything"
    job(tiny, SHARED_VALUES).run()
    assert same(weights_of(tiny), weights_of(trained.job.member.paths))


def test_options_of_training_reach_it_and_survive_an_interruption(tiny, tmp_path, trained) -> None:
    """All options together change the weights; which one does what is tested beside each."""
    given = SHARED_VALUES | {
        "average_top_k": 3,
        "grad_accum_steps": 2,
        "finetune_loss": "symmetric-lovasz",
        "finetune_start": 0.5,
        "progressive_crops": 0.9,
        "copy_paste": 0.5,
    }
    job(tiny, given).run()
    straight = weights_of(tiny)
    tiny.fold(ENCODER, 0).folder.rename(tmp_path / "straight")
    interrupt(job(tiny, given), epoch=3)
    job(tiny, given).run()
    assert same(weights_of(tiny), straight)
    assert not same(straight, weights_of(trained.job.member.paths))


@pytest.mark.parametrize("better", [True, False])
def test_the_average_of_the_best_epochs_is_kept_only_if_it_scores_better(tiny, monkeypatch, better) -> None:
    training = job(tiny, {"average_top_k": 2, "epochs": 2})
    validate, calls = Trainer._validate, []

    def third_score_is_set(self):
        scores = validate(self)
        calls.append(1)
        if len(calls) == 3:  # after two epochs: that of the average
            scores = type(scores)(default=scores.default, tuned=np.full(4, 1.0 if better else 0.0))
        return scores

    monkeypatch.setattr(Trainer, "_validate", third_score_is_set)
    training.run()
    epochs = weights.read_metadata(training.member.files.weights, "")["epoch"]
    assert (epochs == "1+2") == better


def test_a_batch_that_cannot_be_divided_among_processes_is_an_error(trained) -> None:
    of_three = Distributed(0, 3, torch.device("cpu"))
    with pytest.raises(InputError, match=r"batches of 4 over 3 processes: choose a --batch-size"):
        build_loaders(trained.job.member, trained.job.data, trained.job.recipe, of_three)
