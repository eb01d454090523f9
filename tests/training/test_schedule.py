"""Learning rate, the best epochs, and the share of time that is spent on loading."""

from __future__ import annotations

import pytest
import torch

from severstal.training import load_timer
from severstal.training.averaging import TopEpochs
from severstal.training.epoch_log import _describe_scaling
from severstal.training.learning_rate import WarmupCosine
from severstal.training.load_timer import LoadTimer, describe_loading


def test_the_learning_rate_rises_linearly_and_falls_like_half_a_cosine() -> None:
    rate = WarmupCosine(peak=1.0, warmup=0.2, total_steps=20)
    assert [rate(step) for step in range(4)] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert rate(4) == pytest.approx(1.0)
    assert rate(12) == pytest.approx(0.5)
    assert rate(20) == pytest.approx(0.0)
    assert WarmupCosine(peak=1.0, warmup=0.0, total_steps=20)(0) == 1.0


def test_the_best_epochs_are_kept_and_averaged() -> None:
    top = TopEpochs(2)
    for epoch, dice in enumerate((0.5, 0.7, 0.6, 0.7, 0.4), start=1):
        top.add(dice, epoch, lambda epoch=epoch: {"w": torch.tensor([float(epoch)]), "n": torch.tensor(epoch)})
    assert [entry["epoch"] for entry in top.entries] == [2, 4], "of equal ones the earlier comes first"
    assert (top.best["epoch"], top.label) == (2, "2+4")
    average = top.average()
    assert average["w"].item() == 3
    assert average["n"].item() == 2


def test_the_weights_of_a_worse_epoch_are_not_copied() -> None:
    top = TopEpochs(1)
    top.add(0.9, 1, dict)
    top.add(0.8, 2, lambda: pytest.fail("the weights were copied"))


def test_loading_time_counts_the_loader_and_not_the_training(monkeypatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(load_timer.time, "monotonic", lambda: clock[0])

    def loader():
        for number in range(3):
            clock[0] += 2.0  # loading a batch
            yield number

    timer, batches = LoadTimer(), []
    for batch in timer(loader()):
        batches.append(batch)
        clock[0] += 100.0  # training on it
    assert batches == [0, 1, 2]
    assert timer.seconds == 6.0


def test_much_loading_time_is_answered_with_an_option() -> None:
    assert describe_loading(0.02, 0) == "loading 2.0%"
    assert "--num-workers 1" in describe_loading(0.2, 0)
    assert "more than 3 loader processes" in describe_loading(0.2, 3)


def test_an_epoch_in_float16_tells_its_loss_scale_and_the_steps_that_were_skipped() -> None:
    assert _describe_scaling({"loss_scale": 32768.0, "skipped_steps": 3}) == ", loss scale 32768, 3 steps skipped"
    assert _describe_scaling({"loss_scale": None, "skipped_steps": 0}) == ""
